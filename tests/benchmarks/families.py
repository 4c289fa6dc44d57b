"""What 20 families cost beside one: memory, start, and routing.

`python -m tests.benchmarks.families`

All are copies of one bundle under names of their own. Memory and seconds to ready are medians of
starts that take turns. Then the same requests, in rounds that take turns, to a server of one
family, to one family of the server of 20, and spread at random over all 20. With a bag of words
instead of the bundle what is left of the difference is the routing; with the bundle, 20 models
share the CPU's caches as well.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path

import psutil
import uvloop
from tqdm import tqdm

from loadtest.measure.workload import seeded_texts
from serving.bundles.registry import publish
from tests.support.bundles import alter, write_bundle
from tests.support.closed_loop import as_request, clients
from tests.support.processes import ROOT, serving


def registry_of(source, count, folder):
    for number in range(count):
        made = alter(source, folder / f"made{number}", family=f"family{number}")
        publish(made, folder / "registry")
    return folder / "registry"


def start(registry):
    """Seconds until ready, and resident bytes then."""
    began_s = time.monotonic()
    with serving(registry) as server:
        return time.monotonic() - began_s, psutil.Process(server.process.pid).memory_info().rss


async def ask(port, requests, count, seconds):
    async with clients(port, count, requests) as asked:
        await asyncio.sleep(seconds)
    assert all(each.status == 200 for each in asked)
    return asked


def measured(server, requests, count, seconds):
    """(p50 in ms, CPU ms of the server a request, requests a second)."""
    process = psutil.Process(server.process.pid)
    before = process.cpu_times()
    asked = uvloop.run(ask(int(server.url.rpartition(":")[2]), requests, count, seconds))
    after = process.cpu_times()
    cpu_s = sum(after[:2]) - sum(before[:2])
    p50_ms = statistics.median(each.ms for each in asked)
    return p50_ms, 1e3 * cpu_s / len(asked), len(asked) / seconds


def routing(alone, server, families, rounds, seconds):
    texts = seeded_texts(1024, seed=0)
    draw = random.Random(0)
    bodies = [{"texts": [text], "truncate": True} for text in texts]
    spread = [as_request(b | {"model": f"family{draw.randrange(families)}"}) for b in bodies]
    one = [as_request(body | {"model": "family0"}) for body in bodies]
    ways = {
        "one family": (alone, one),
        f"one of {families}": (server, one),
        f"spread over {families}": (server, spread),
    }
    for count in (1, 8):
        measured(server, spread, count, 1)
        found = [
            {way: measured(*of, count, seconds) for way, of in ways.items()}
            for _ in tqdm(range(rounds), unit="round")
        ]
        for way in ways:
            figures = [statistics.median(f) for f in zip(*(f[way] for f in found), strict=True)]
            ratios = [
                statistics.median(f[way][at] / f["one family"][at] for f in found) for at in (0, 1)
            ]
            print(
                f"  {count} client{'s' * (count > 1)}, {way}: p50 {figures[0]:.2f} ms "
                f"({ratios[0]:.3f} times), CPU of the server a request {figures[1]:.3f} ms "
                f"({ratios[1]:.3f} times), {figures[2]:.0f} requests/s"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--bundle", type=Path, default=ROOT / "models/registry/sentiment/small-int8"
    )
    parser.add_argument("--families", type=int, default=20)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        write_bundle(Path(scratch) / "words", max_length=256)
        for source in (arguments.bundle, Path(scratch) / "words"):
            one, many = (
                registry_of(source, count, Path(scratch) / f"{source.name}-{count}")
                for count in (1, arguments.families)
            )
            print(f"{source.name}:")
            starts = [(start(one), start(many)) for _ in range(arguments.starts)]
            for count, found in zip(
                (1, arguments.families), zip(*starts, strict=True), strict=True
            ):
                ready_s, resident = map(statistics.median, zip(*found, strict=True))
                print(f"  {count} loaded: ready in {ready_s:.1f} s, {resident / 1e6:.0f} MB")
            with serving(one) as alone, serving(many) as server:
                routing(alone, server, arguments.families, arguments.rounds, arguments.seconds)


if __name__ == "__main__":
    main()
