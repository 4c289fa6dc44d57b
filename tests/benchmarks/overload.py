"""`python -m tests.benchmarks.overload`: open arrivals at multiples of what a variant can answer.

Arrivals are Poisson and do not wait for answers, as users do not; latency counts from the intended
arrival. The knee is what 32 clients of wrk get in a closed loop. The engine has one core, so that
this client, which costs about as much as a refusal, and HTTP have another.
"""

import argparse
import asyncio
import random
import re
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import psutil
import uvloop

from loadtest.measure.workload import seeded_texts
from serving.bundles.bundle import read_bundle
from tests.benchmarks.bench import alone, served
from tests.support.closed_loop import as_request
from tests.support.processes import ROOT, serving

DEADLINE_S = 10  # the server's default
ON_TIME_S = 0.05


@dataclass
class Outcome:
    due: float
    sent: float = 0.0
    ended: float = 0.0
    status: int = 0
    body: bytes = b""
    retry_after_s: int | None = None


class Connection(asyncio.Protocol):
    """Keep-alive; one request at a time."""

    def __init__(self, idle):
        self._idle = idle
        self._buffer = b""
        self._outcome = None

    def connection_made(self, transport):
        self._transport = transport

    def ask(self, request, outcome):
        self._outcome = outcome
        outcome.sent = time.monotonic()
        self._transport.write(request)

    def data_received(self, data):
        self._buffer += data
        head, _, body = self._buffer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if not length or len(body) < int(length.group(1)):
            return
        self._buffer = b""
        outcome, self._outcome = self._outcome, None
        outcome.ended = time.monotonic()
        outcome.status, outcome.body = int(head[9:12]), body
        if later := re.search(rb"retry-after: (\d+)", head):
            outcome.retry_after_s = int(later.group(1))
        self._idle.append(self)

    def connection_lost(self, _error):
        if self in self._idle:
            self._idle.remove(self)
        if self._outcome:
            self._outcome.ended = time.monotonic()

    def close(self):
        self._transport.close()


async def offer(port, requests, steps, grace_s=15):
    """The outcome of each arrival, in steps of (rate, seconds); status 0 has no answer."""
    loop = asyncio.get_running_loop()
    idle, opening = [], set()
    generator = random.Random(0)
    began = due = time.monotonic()
    outcomes = []

    async def on_a_new_connection(request, outcome):
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(idle), "127.0.0.1", port
            )
        except OSError:
            outcome.ended = time.monotonic()
        else:
            connection.ask(request, outcome)

    ends = list(accumulate(seconds for _, seconds in steps))
    while due < began + ends[-1]:
        rate = steps[bisect_right(ends, due - began)][0]
        due += generator.expovariate(rate)
        if (wait := due - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        outcome = Outcome(due)
        request = requests[len(outcomes) % len(requests)]
        outcomes.append(outcome)
        if idle:
            idle.pop().ask(request, outcome)
        else:
            task = asyncio.create_task(on_a_new_connection(request, outcome))
            opening.add(task)
            task.add_done_callback(opening.discard)
        if len(outcomes) % 16 == 0:
            await asyncio.sleep(0)
    until = time.monotonic() + grace_s
    while time.monotonic() < until and not all(o.ended for o in outcomes):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    for connection in idle:
        connection.close()
    return outcomes


def as_requests(texts, variant):
    return [as_request({"texts": [t], "variant": variant, "truncate": True}) for t in texts]


def phase(server, requests, rate, seconds):
    """Offer, print and return (answers in time a second, outcomes)."""
    port = int(server.url.rpartition(":")[2])
    process = psutil.Process(server.process.pid)
    outcomes = uvloop.run(offer(port, requests, [(rate, seconds)]))
    ended_s = outcomes[0].due + seconds
    good = [o for o in outcomes if o.status == 200]
    goodput = sum(o.ended <= ended_s and o.ended - o.due <= DEADLINE_S for o in good) / seconds
    p50, p99 = np.quantile([o.ended - o.due for o in good], (0.5, 0.99))
    late = np.quantile([max(0.0, o.sent - o.due) for o in outcomes if o.sent], 0.99)
    doubt = "" if late < ON_TIME_S else f" (DOUBTFUL: the client sent up to {late:.2f} s late)"
    print(
        f"{rate:6.0f}/s offered: {goodput:5.0f}/s answered in time, p50 {p50:.2f} s, "
        f"p99 {p99:.2f} s, {dict(Counter(o.status for o in outcomes))}, "
        f"{process.memory_info().rss / 1e6:.0f} MB{doubt}",
        flush=True,
    )
    return goodput, outcomes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--bundle", type=Path, default=ROOT / "models/registry/sentiment/medium-int8"
    )
    parser.add_argument("--seconds", type=int, default=30)
    arguments = parser.parse_args()
    variant = read_bundle(arguments.bundle).manifest.variant
    texts = seeded_texts(1024, seed=0)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(serving(alone(arguments.bundle, folder), threads=1))
        knee = served(server, folder, variant, texts, (32, 1), 5)["texts_per_s"]
        print(f"{variant}: the knee is {knee:.0f} requests/s")
        requests = as_requests(texts, variant)
        results = [
            phase(server, requests, times * knee, arguments.seconds) for times in (1, 2, 5, 10)
        ]
        best = max(goodput for goodput, _ in results)
        refused = [o for _, outcomes in results for o in outcomes if o.status not in (0, 200)]
        right = sum(o.status == 429 and o.retry_after_s is not None for o in refused)
        print(f"goodput at 10 times the knee: {results[-1][0] / best:.3f} of the best")
        print(f"refusals: {len(refused)}, of these 429 with Retry-After: {right}")
        told = [outcome for outcome in refused if outcome.retry_after_s is not None]
        last = max(told, key=lambda outcome: outcome.ended)
        time.sleep(max(0.0, last.ended + last.retry_after_s - time.monotonic()))
        _, again = phase(server, requests, knee / 2, 2)
        print(f"after the last Retry-After, {sum(o.status == 200 for o in again)} of {len(again)}")


if __name__ == "__main__":
    main()
