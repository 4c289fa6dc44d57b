"""`python -m tests.benchmarks.noisy_caller`: what a caller that sends too much costs the others.

The others are four callers with open arrivals, a fifth of what the server can do; their latency
counts from the intended arrival. In rounds that take turns they are alone; beside a caller that
offers 20 times its limit, of texts a second or of requests at a time, and ignores Retry-After;
beside a batch job without limits that sends 32 texts at a time without a pause; beside the same job
under one of their own keys; and beside two clients that send 256 texts of 256 tokens again and
again, with a key of their own and on a server without keys. The engine has one core, so that HTTP
and this client have another.
"""

import argparse
import asyncio
import contextlib
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import uvloop
from tqdm import tqdm

from loadtest.measure.workload import seeded_texts
from tests.benchmarks.bench import alone, served
from tests.benchmarks.overload import offer
from tests.support.api_keys import write_callers
from tests.support.closed_loop import as_request, clients
from tests.support.processes import ROOT, serving

OTHERS = ("search", "inbox", "reviews", "chat")
TIMES = 20
TEXTS_PER_S = 20
MAX_REQUESTS = 2
PAUSE_S = 0.05
JOB_TEXTS, JOB_CLIENTS = 32, 8
LARGE_TEXTS, LARGE_CLIENTS = 256, 2
LONG = "word " * 300
LARGE = f"beside {LARGE_CLIENTS} clients of {LARGE_TEXTS} long texts"


async def beside(port, others, rate, seconds, noise):
    """Outcomes of the others, and what the noise has asked, while both go on."""
    async with noise(port) as asked:
        outcomes = await offer(port, others, [(rate, seconds)])
    return outcomes, asked


def nothing(_port):
    return contextlib.nullcontext([])


def closed(requests, count, pause_s=0.0):
    return lambda port: clients(port, count, requests, pause_s)


def at_rate(requests, rate, seconds):
    @contextlib.asynccontextmanager
    async def noise(port):
        offered = asyncio.create_task(offer(port, requests, [(rate, seconds)]))
        asked = []
        yield asked
        asked += await offered

    return noise


def told(name, rounds):
    """The others' latency in ms, medians over rounds, and what the noise got."""
    others = [outcome for outcomes, _ in rounds for outcome in outcomes]
    quantiles = [
        np.quantile([1e3 * (o.ended - o.due) for o in outcomes], (0.5, 0.99))
        for outcomes, _ in rounds
    ]
    p50_ms, p99_ms = np.median(quantiles, axis=0)
    noise = [each for _, asked in rounds for each in asked]
    refused = sum(each.status == 429 for each in noise)
    later = sum(each.status == 429 and each.retry_after_s is not None for each in noise)
    late_ms = 1e3 * np.quantile([o.sent - o.due for o in others], 0.99)
    print(
        f"{name}: the others' p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms, "
        f"{dict(Counter(o.status for o in others))}; "
        f"the caller got {dict(Counter(each.status for each in noise))}, "
        f"{later} of {refused} refusals with Retry-After; p99 of how late the others were sent: "
        f"{late_ms:.1f} ms"
    )
    return p50_ms, p99_ms


def compare(found):
    """Print the others' latency in each situation, and its ratio to that of the first."""
    quiet = None
    for name, rounds in found.items():
        latency = told(name, rounds)
        quiet = quiet or latency
        p50, p99 = (a / b for a, b in zip(latency, quiet, strict=True))
        print(f"  {p50:.2f} times the quiet p50, {p99:.2f} times the quiet p99")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--bundle", type=Path, default=ROOT / "models/registry/sentiment/small-int8"
    )
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5)
    arguments = parser.parse_args()
    texts, seconds = seeded_texts(1024, seed=0), arguments.seconds
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        registry = alone(arguments.bundle, folder)
        with serving(registry, threads=1) as server:
            knee = served(server, folder, "auto", texts, (32, 1), 3)["texts_per_s"]
        limits = {name: {} for name in (*OTHERS, "job")} | {
            "by-rate": {"texts_per_s": TEXTS_PER_S},
            "by-requests": {"max_requests": MAX_REQUESTS},
        }
        headers = write_callers(folder / "callers.json", **limits) | {"": {}}
        server = stack.enter_context(serving(registry, threads=1, callers=folder / "callers.json"))
        without_keys = stack.enter_context(serving(registry, threads=1))
        port, open_port = (int(each.url.rpartition(":")[2]) for each in (server, without_keys))
        rate = knee / 5

        def requests(texts, *callers, size=1):
            parts = (texts[at : at + size] for at in range(0, len(texts), size))
            more = {"truncate": True, "deadline_ms": 60_000}
            return [
                as_request({"texts": part, **more}, **headers[callers[n % len(callers)]])
                for n, part in enumerate(parts)
            ]

        def larges(caller):
            texts = [f"{number} {LONG}" for number in range(LARGE_TEXTS)]
            return closed(requests(texts, caller, size=LARGE_TEXTS), LARGE_CLIENTS)

        ones = requests(texts, "by-rate"), requests(texts, "by-requests")
        noises = {
            "alone": nothing,
            f"beside {TIMES} times {TEXTS_PER_S} texts a second": at_rate(
                ones[0], TIMES * TEXTS_PER_S, seconds
            ),
            f"beside {TIMES} times {MAX_REQUESTS} requests at a time": closed(
                ones[1], TIMES * MAX_REQUESTS, PAUSE_S
            ),
            "beside a batch job": closed(requests(texts, "job", size=JOB_TEXTS), JOB_CLIENTS),
            "beside it under a key of theirs": closed(
                requests(texts, "search", size=JOB_TEXTS), JOB_CLIENTS
            ),
            LARGE: larges("job"),
        }
        open_noises = {"alone": nothing, LARGE: larges("")}
        print(f"the knee: {knee:.0f} texts/s; the others ask {rate:.0f}/s")
        others = requests(texts, *OTHERS)
        anybody = requests(texts, "")
        found, open_found = defaultdict(list), defaultdict(list)
        for _ in tqdm(range(arguments.rounds), unit="round"):
            for name, noise in noises.items():
                found[name].append(uvloop.run(beside(port, others, rate, seconds, noise)))
            for name, noise in open_noises.items():
                each = uvloop.run(beside(open_port, anybody, rate, seconds, noise))
                open_found[name].append(each)
    compare(found)
    print("without keys")
    compare(open_found)


if __name__ == "__main__":
    main()
