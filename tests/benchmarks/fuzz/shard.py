"""One share of the requests: a range of numbers of a part, sent from one process."""

import asyncio
import random
import resource
from dataclasses import dataclass, field

import uvloop

from tests.benchmarks.fuzz import byte_fuzzer, seeds, value_fuzzer
from tests.benchmarks.fuzz.byte_fuzzer import KEEP, LEAVE, WAIT
from tests.benchmarks.fuzz.http_client import AT_ONCE_WAITING, ask, fault_of, opened
from tests.benchmarks.fuzz.tally import Tally

CLIENTS = 12
"""Connections of one process that wait for an answer."""
OVERLOADED = frozenset({503, 504})


@dataclass(frozen=True)
class Target:
    """Where a part sends its requests, and what it may get."""

    part: str
    kind: str
    """`bytes`, `values`, `admin`, or `grpc`; `mixed` is all but admin."""
    port: int = 0
    grpc_port: int = 0
    headers: tuple = ()
    """Sent by most requests: their keys."""
    allowed: frozenset = field(default=OVERLOADED)


def share(target, seed, numbers):
    """Send the requests of these numbers; what came of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    return uvloop.run(_Share(target, seed).run(numbers))


def made(target, seed, number, values=()):
    """The exchange of a number: a function of its arguments alone."""
    rng = random.Random(f"{seed}/{target.part}/{number}")
    kind = target.kind
    if kind == "mixed":
        kind = rng.choice(("bytes", "values"))
    if kind == "admin":
        known = seeds.OF_ADMIN_SLOW if rng.random() < 0.005 else seeds.OF_ADMIN
        fuzzer = rng.choice((byte_fuzzer, value_fuzzer))
        if fuzzer is byte_fuzzer:
            return byte_fuzzer.exchange(rng, known, target.headers)
        return value_fuzzer.exchange(rng, known, target.headers, values)
    if kind == "bytes":
        return byte_fuzzer.exchange(rng, seeds.EVERY, target.headers)
    known = seeds.EVERY if rng.random() < 0.1 else seeds.WITH_BODY
    return value_fuzzer.exchange(rng, known, target.headers, values)


class _Share:
    def __init__(self, target, seed):
        self.target, self.seed, self.tally = target, seed, Tally()
        self.values = value_fuzzer.hypothesis_values(seed)
        self._tasks = set()

    async def run(self, numbers):
        remaining = iter(numbers)
        await asyncio.gather(*(self._client(remaining) for _ in range(CLIENTS)))
        await asyncio.gather(*self._tasks)
        return self.tally

    async def _client(self, remaining):
        """Send one exchange after the other, on as few connections as they leave open."""
        connection = None
        for number in remaining:
            exchange = made(self.target, self.seed, number, self.values)
            if exchange.then == WAIT:
                if len(self._tasks) >= AT_ONCE_WAITING:
                    await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                task = asyncio.create_task(self._waited(number, exchange))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                continue
            connection = await self._exchanged(connection, number, exchange)
        if connection:
            connection.transport.close()

    async def _waited(self, number, exchange):
        connection = await self._exchanged(None, number, exchange)
        if connection:
            connection.transport.close()

    async def _exchanged(self, connection, number, exchange):
        """Send one exchange, and return the connection if it can be used again."""
        try:
            if connection is None or connection.ended or connection.transport.is_closing():
                connection = await opened(self.target.port)
            what, answers = await ask(connection, exchange)
        except OSError as error:
            what, answers = f"no connection: {error}", []
        self._note(number, exchange, what, answers)
        if what or exchange.then != KEEP or connection.ended or (answers and answers[-1].closes):
            if connection:
                connection.transport.abort()
            return None
        return connection

    def _note(self, number, exchange, what, answers):
        tally = self.tally
        tally.requests += max(1, len(exchange.framing.methods))
        if not answers and not what:
            tally.unanswered += 1
        if exchange.then == KEEP and len(answers) > exchange.framing.complete:
            what = what or "more answers than requests"
        for answer in answers:
            tally.count(answer.status)
            if answer.status == 400 and b'"malformed_request"' in answer.content:
                tally.malformed += 1
            what = what or fault_of(answer, self.target.allowed)
        if exchange.then == LEAVE and not what:
            return
        if what:
            tally.fault(
                what, part=self.target.part, seed=self.seed, number=number,
                exchange=exchange, answers=answers,
            )  # fmt: skip
