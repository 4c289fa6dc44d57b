"""What 20 families cost beside one: memory, start, and routing.

`python -m tests.benchmarks.families`

`--idle 64` shows instead what 64 families that no request names cost the requests to another, over
an engine that computes nothing: Python calls in the loop's thread, and CPU of the server.

All are copies of one bundle under names of their own. Memory and seconds to ready are medians of
starts that take turns. Then the same requests, in rounds that take turns, to a server of one
family, to one family of the server of 20, and spread at random over all 20. With a bag of words
instead of the bundle what is left of the difference is the routing; with the bundle, 20 models
share the CPU's caches as well.
"""

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from contextlib import ExitStack, redirect_stdout
from pathlib import Path

import psutil
import uvloop
from tqdm import tqdm

from loadtest.measure.workload import seeded_texts
from serving.settings import Settings
from tests.support.bundles import write_bundle, write_families
from tests.support.closed_loop import as_request, clients
from tests.support.in_process import calls_of
from tests.support.processes import ROOT, serving

IDLE_CLIENTS = (1, 32)


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
    before_s = cpu_s(server)
    asked = uvloop.run(ask(int(server.url.rpartition(":")[2]), requests, count, seconds))
    used_s = cpu_s(server) - before_s
    p50_ms = statistics.median(each.ms for each in asked)
    return p50_ms, 1e3 * used_s / len(asked), len(asked) / seconds


def ask_for(family_of):
    """Requests of one text each, to the family that `family_of` names."""
    texts = seeded_texts(1024, seed=0)
    return [as_request({"texts": [text], "truncate": True, "model": family_of()}) for text in texts]


def routing(alone, server, families, rounds, seconds):
    draw = random.Random(0)
    one = ask_for(lambda: "family0")
    spread = ask_for(lambda: f"family{draw.randrange(families)}")
    ways = {
        "one family": (alone, one),
        f"one of {families}": (server, one),
        f"spread over {families}": (server, spread),
    }
    for count in (1, 8):
        compare(ways, count, rounds, seconds)


def compare(ways, count, rounds, seconds):
    """Ask in each way in turns, and print the ratios to the first."""
    for of in ways.values():
        measured(*of, count, 1)
    found = [
        {way: measured(*of, count, seconds) for way, of in ways.items()}
        for _ in tqdm(range(rounds), unit="round")
    ]
    first = next(iter(ways))
    for way in ways:
        figures = [statistics.median(f) for f in zip(*(f[way] for f in found), strict=True)]
        ratios = [statistics.median(f[way][at] / f[first][at] for f in found) for at in (0, 1)]
        print(
            f"  {count} client{'s' * (count > 1)}, {way}: p50 {figures[0]:.2f} ms "
            f"({ratios[0]:.3f} times), CPU of the server a request {figures[1]:.3f} ms "
            f"({ratios[1]:.3f} times), {figures[2]:.0f} requests/s"
        )


def idle(one, many, arguments):
    """What families that no request names cost."""
    ways = {"no idle family": one, f"{arguments.idle} idle families": many}
    for texts in (1, 32):
        for way, registry in ways.items():
            with Path(os.devnull).open("w", encoding="utf-8") as log, redirect_stdout(log):
                calls = calls_of(registry, texts, model="family0").total()
            print(f"  {texts} text{'s' * (texts > 1)} a request, {way}: {calls} Python calls")
    with ExitStack() as stack:
        servers = {
            way: stack.enter_context(serving(registry, program="tests.support.null_serving"))
            for way, registry in ways.items()
        }
        requests = ask_for(lambda: "family0")
        for count in IDLE_CLIENTS:
            asked = {way: (server, requests) for way, server in servers.items()}
            compare(asked, count, arguments.rounds, arguments.seconds)
        for way, cores in at_rest(servers, arguments.seconds).items():
            print(f"  no request, {way}: {1e3 * cores:.1f} ms of CPU a second")


def at_rest(servers, seconds):
    """Cores that each server uses without a request, over at least two scans of the registry."""
    before = {way: cpu_s(server) for way, server in servers.items()}
    waited_s = max(seconds, 2 * Settings().scan_ms / 1e3)
    time.sleep(waited_s)
    return {way: (cpu_s(server) - before[way]) / waited_s for way, server in servers.items()}


def cpu_s(server):
    return sum(psutil.Process(server.process.pid).cpu_times()[:2])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--bundle", type=Path, default=ROOT / "models/registry/sentiment/small-int8"
    )
    parser.add_argument("--families", type=int, default=20)
    parser.add_argument("--idle", type=int, metavar="N", help="show what N idle families cost")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        write_bundle(Path(scratch) / "words", max_length=256)
        if arguments.idle:
            idle(
                *(
                    write_families(Path(scratch) / "words", count, Path(scratch) / f"words-{count}")
                    for count in (1, 1 + arguments.idle)
                ),
                arguments,
            )
            return
        for source in (arguments.bundle, Path(scratch) / "words"):
            one, many = (
                write_families(source, count, Path(scratch) / f"{source.name}-{count}")
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
