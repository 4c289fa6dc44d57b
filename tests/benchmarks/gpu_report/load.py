"""The load: wrk where it is installed, otherwise clients in several Python processes."""

import asyncio
import multiprocessing
import os
import shutil
import time

import numpy as np
import uvloop

from serving.inference.cpu import usable_cores
from tests.benchmarks import wrk
from tests.support.closed_loop import as_request, clients

MOST_PROCESSES = 8
# A client that uses so much of its cores measures itself.
BUSY_CORES = 0.9


def generator():
    return "wrk" if shutil.which("wrk") else "tests/support/closed_loop.py"


def offer(url, folder, texts, variant, count, seconds):  # noqa: PLR0917
    """`count` clients that each send a text when the last is answered, and what they saw."""
    bodies = [{"texts": [text], "variant": variant, "truncate": True} for text in texts]
    if shutil.which("wrk"):
        processes, before = 1, os.times()
        found = wrk.run(url, folder, bodies, count, seconds)
        cpu_s = sum(os.times()[2:4]) - sum(before[2:4])
    else:
        port = int(url.rpartition(":")[2])
        found, cpu_s, processes = _by_processes(port, bodies, count, seconds)
    answered = found["requests"] - found["bad"]
    cores = cpu_s / found["seconds"]
    return {
        "load": generator(),
        "texts_per_s": answered / found["seconds"],
        "answered": answered,
        "bad": found["bad"],
        "p50_ms": found["p50_ms"],
        "p99_ms": found["p99_ms"],
        "client_cores": cores,
        "limited_by_client": cores >= BUSY_CORES * processes,
    }


def _by_processes(port, bodies, count, seconds):
    processes = max(1, min(MOST_PROCESSES, usable_cores() // 2, count))
    shares = [count // processes + (n < count % processes) for n in range(processes)]
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        work = [(port, bodies[n::processes], share, seconds) for n, share in enumerate(shares)]
        parts = pool.starmap(_clients, work)
    times_ms = np.concatenate([ms for ms, _, _ in parts])
    p50_ms, p99_ms = np.quantile(times_ms, (0.5, 0.99)) if times_ms.size else (0.0, 0.0)
    bad = sum(bad for _, bad, _ in parts)
    found = {
        "requests": int(times_ms.size) + bad, "bad": bad, "seconds": seconds,
        "p50_ms": float(p50_ms), "p99_ms": float(p99_ms),
    }  # fmt: skip
    return found, sum(cpu_s for _, _, cpu_s in parts), processes


def _clients(port, bodies, count, seconds):
    """Times of the answers within `seconds`, the count of failures, and CPU seconds."""
    return uvloop.run(_ask(port, [as_request(body) for body in bodies], count, seconds))


async def _ask(port, requests, count, seconds):
    began_s, cpu_s = time.monotonic(), time.process_time()
    async with clients(port, count, requests) as asked:
        await asyncio.sleep(seconds)
        cpu_s = time.process_time() - cpu_s
        until_s = began_s + seconds
        done = [each for each in asked if each.ended_s <= until_s]
    good = np.array([each.ms for each in done if each.status == 200])
    return good, len(done) - len(good), cpu_s
