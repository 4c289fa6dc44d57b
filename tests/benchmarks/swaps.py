"""Versions of a variant published one after the other under 32 clients.

`python -m tests.benchmarks.swaps`

Each swap waits until an answer names the new version. Counted: requests that were not answered
with 200, connections that broke, and what the p99 of a second became beside the steady state before
and after, of the same run.
"""

import argparse
import asyncio
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from tqdm import tqdm

from loadtest.measure.workload import seeded_texts
from serving.bundles.bundle import read_bundle
from serving.bundles.registry import publish
from tests.support.bundles import alter
from tests.support.closed_loop import as_request, clients, p99_ms
from tests.support.processes import ROOT, serving

CLIENTS = 32
SCAN_MS = 100
MOST_S = 60


def version(asked):
    found = re.search(rb'"version":"(\w+)"', asked.body)
    return found and found.group(1).decode()


async def swap(folder, registry, asked):
    """Publish, and the seconds until an answer names that version."""
    wanted, before = read_bundle(folder).manifest.version, len(asked)
    began_s = time.monotonic()
    await asyncio.to_thread(publish, folder, registry)
    while not any(version(each) == wanted for each in asked[before:]):
        before = len(asked)
        await asyncio.sleep(0.02)
        assert time.monotonic() - began_s < MOST_S, f"{wanted} was never seen"
    return time.monotonic() - began_s


async def run(port, folders, registry, steady_s):
    """All that was asked, when the swaps began and ended, and the seconds of each."""
    texts = seeded_texts(1024, seed=0)
    requests = [as_request({"texts": [text], "truncate": True}) for text in texts]
    async with clients(port, CLIENTS, requests) as asked:
        await asyncio.sleep(1)
        del asked[:]
        await asyncio.sleep(steady_s)
        began_s = time.monotonic()
        taken_s = [await swap(folder, registry, asked) for folder in tqdm(folders, unit="swap")]
        ended_s = time.monotonic()
        await asyncio.sleep(steady_s)
    return asked, began_s, ended_s, taken_s


def told(name, asked):
    """The p99 of all that ended in a span of time, and of each second of it."""
    first_s = asked[0].ended_s
    seconds = {}
    for each in asked:
        seconds.setdefault(int(each.ended_s - first_s), []).append(each)
    whole = [p99_ms(seconds[at]) for at in sorted(seconds)[:-1]]
    print(
        f"{name}: {len(asked) / (asked[-1].ended_s - first_s):.0f} requests/s, "
        f"p99 {p99_ms(asked):.0f} ms; of single seconds: median {statistics.median(whole):.0f}, "
        f"worst {max(whole):.0f} ms; longest request {max(each.ms for each in asked):.0f} ms"
    )
    return p99_ms(asked), max(whole)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--bundle", type=Path, default=ROOT / "models/registry/sentiment/small-int8"
    )
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--steady-s", type=float, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        registry = Path(scratch) / "registry"
        folders = [
            alter(arguments.bundle, Path(scratch) / str(number), temperature=1 + number / 100)
            for number in range(1, arguments.swaps + 1)
        ]
        publish(arguments.bundle, registry)
        with serving(registry, scan_ms=SCAN_MS) as server:
            port = int(server.url.rpartition(":")[2])
            asked, began_s, ended_s, taken_s = uvloop.run(
                run(port, folders, registry, arguments.steady_s)
            )
    failed = sum(each.status != 200 for each in asked)
    seen = {version(each) for each in asked}
    print(
        f"{len(taken_s)} swaps under {CLIENTS} clients in {ended_s - began_s:.0f} s, each seen in "
        f"{statistics.median(taken_s):.1f} s (at most {max(taken_s):.1f} s); versions in answers: "
        f"{len(seen)}; requests: {len(asked):,}, failed: {failed}"
    )
    before = [each for each in asked if each.ended_s < began_s]
    swapping = [each for each in asked if began_s <= each.ended_s <= ended_s]
    after = [each for each in asked if each.ended_s > ended_s]
    steady_ms, _ = told("steady before", before)
    _, worst_ms = told("with swaps", swapping)
    told("steady after", after)
    print(f"the worst second with swaps: {worst_ms / steady_ms:.2f} times the steady p99 before")
    return int(failed > 0 or len(seen) != len(folders) + 1)


if __name__ == "__main__":
    sys.exit(main())
