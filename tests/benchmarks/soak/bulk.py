"""The bulk of the requests: pipelined on connections that are replaced now and then."""

import asyncio
import re
import signal
from collections import Counter, deque

import uvloop

from tests.benchmarks.soak.kinds import TICKET, deck, kinds
from tests.benchmarks.soak.tally import Tally

CONNECTIONS, DEPTH = 24, 4
REQUESTS_A_CONNECTION = 5000
_ANSWER_S = 60
_length = re.compile(rb"content-length: (\d+)").search
_code = re.compile(rb'"code":"(\w+)"').search
_tokens = re.compile(rb'"tokens":(\d+)\}\}$').search
_versions = re.compile(rb'"version":"(\w+)"').findall


class Bulk:
    """Sends `share` requests, or until `stop` is set, and tallies the answers.

    `progress` is the number of those that were answered.
    """

    def __init__(self, port, seed, share, progress, stop):
        self.port, self.share, self.progress, self.stop = port, share, progress, stop
        self.kinds = kinds()
        self.tally = Tally()
        self.sent = self.answered = 0
        self._deck = deck(self.kinds, seed)
        self._seed = seed
        self._statuses = Counter()

    def next(self):
        """The next kind's number and its request; None when all were sent."""
        if self.sent >= self.share or (self.sent % 64 == 0 and self.stop.is_set()):
            self.share = self.sent
            return None
        number, request = self._deck[self.sent % len(self._deck)]
        self.sent += 1
        if TICKET in request:
            ticket = b"%02d%06d" % (self._seed, self.sent % 10**6)
            request = request.replace(TICKET, ticket)
        return number, request

    def note(self, number, head, content):
        """Tally one answer."""
        status = int(head[9:12])
        self.answered += 1
        if self.answered % 64 == 0:
            self.progress.value = self.answered
        self._statuses[number, status] += 1
        kind = self.kinds[number]
        if status not in kind.right:
            self.tally.fault(kind.name, f"{status} {content[:200]!r}")
        elif kind.native:
            if status == 200:
                self._note_answer(kind, content)
            else:
                code = _code(content)
                self.tally.rejected[code.group(1).decode() if code else ""] += 1
        elif b"x-sizewise-degraded" in head:
            self.tally.sums["degraded", kind.right[200]] += 1

    def _note_answer(self, kind, content):
        sums, model = self.tally.sums, kind.right[200]
        sums["tokens", model] += int(_tokens(content).group(1))
        if degraded := content.count(b'"degraded":true'):
            sums["degraded", model] += degraded
        if truncated := content.count(b'"truncated":true'):
            sums["truncated", model] += truncated
        if model != "tone":
            for version in _versions(content):
                sums["versions", model, version.decode()] += 1

    def finish(self):
        """The tally of all answers."""
        tally = self.tally
        self.progress.value = self.answered
        for (number, status), count in self._statuses.items():
            kind = self.kinds[number]
            tally.requests[kind.endpoint, kind.right.get(status, "?"), str(status)] += count
            if status == 200 and kind.endpoint != "/tokenize":
                tally.sums["texts", kind.right[200]] += count * kind.texts
                tally.sums["tokens", kind.right[200]] += count * kind.texts * kind.tokens
        tally.rejected.pop("unknown_model", None)
        if self.answered < self.sent:
            tally.fault("bulk", f"{self.sent - self.answered} requests have no answer")
        return tally


class Connection(asyncio.Protocol):
    """A connection with a few requests on their way; it ends after some thousand."""

    def __init__(self, bulk, ended):
        self._bulk = bulk
        self._ended = ended
        self._left = REQUESTS_A_CONNECTION
        self._waiting = deque()
        self._data = b""

    def connection_made(self, transport):
        self._transport = transport
        self._send(DEPTH)

    def _send(self, count):
        requests = []
        while count and self._left and (chosen := self._bulk.next()):
            count -= 1
            self._left -= 1
            self._waiting.append(chosen[0])
            requests.append(chosen[1])
        if requests:
            self._transport.write(b"".join(requests))
        elif not self._waiting:
            self._transport.close()

    def data_received(self, data):
        data = self._data + data if self._data else data
        start = 0
        answered = 0
        while (end := data.find(b"\r\n\r\n", start)) >= 0:
            content = end + 4
            stop = content + int(_length(data, start, end).group(1))
            if stop > len(data):
                break
            self._bulk.note(self._waiting.popleft(), data[start:end], data[content:stop])
            answered += 1
            start = stop
        self._data = data[start:]
        if answered:
            self._send(answered)

    def connection_lost(self, _error):
        if not self._ended.done():
            self._ended.set_result(None)


async def _run(bulk):
    loop = asyncio.get_running_loop()

    async def client():
        while bulk.sent < bulk.share:
            ended = loop.create_future()
            await loop.create_connection(lambda: Connection(bulk, ended), "127.0.0.1", bulk.port)  # noqa: B023
            await ended

    async def watched():
        await asyncio.gather(*(client() for _ in range(CONNECTIONS)))

    running = asyncio.create_task(watched())
    before = -1
    while not (await asyncio.wait((running,), timeout=_ANSWER_S))[0]:
        if bulk.answered == before:
            running.cancel()
            break
        before = bulk.answered
    await asyncio.gather(running, return_exceptions=True)


def run(outcome, *arguments):
    """In a process of its own: send, and put the tally into `outcome`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    bulk = Bulk(*arguments)
    try:
        uvloop.run(_run(bulk))
    finally:
        outcome.put(("bulk", bulk.finish()))
