"""The parts of a run: each a server, a kind of requests, and its share of them."""

import asyncio
import contextlib
import json
import multiprocessing
import os
import time
from dataclasses import asdict, dataclass, field

from tests.benchmarks.fuzz import grpc_fuzzer, openapi
from tests.benchmarks.fuzz.live_watch import watching
from tests.benchmarks.fuzz.servers import ADMIN_KEY, faults_of_log, growth, server
from tests.benchmarks.fuzz.shard import OVERLOADED, Target, share
from tests.benchmarks.fuzz.tally import Tally

SHARD = 2000
BASELINE_SHARE = 0.1
COUNTED_WITHIN_S = 30
MOST_GAP_MS = 100.0
# Of the others, statuses of gRPC are not HTTP's, and the admin API is not counted.
_COUNTED = {"bytes", "values"}
# The load gives way to the server and to who watches it.
NICE = 5


@dataclass(frozen=True)
class Part:
    kind: str
    share: float
    keys: bool = False
    is_exact: bool = False
    """Every request is answered, so that counters must equal what was sent."""
    settings: dict = field(default_factory=dict)


PARTS = {
    "bytes": Part("bytes", 0.34, keys=True),
    "values": Part("values", 0.34, is_exact=True),
    "grpc": Part("grpc", 0.14),
    "admin": Part("admin", 0.02),
    "processes": Part("mixed", 0.15, keys=True, settings={"http_processes": 2}),
    "openapi": Part("openapi", 0.01),
}


def target_of(name, part, running):
    """Where the part sends, and what may come back."""
    headers = running.headers
    port, allowed = running.port, OVERLOADED - {503}
    if part.kind == "admin":
        port, headers = running.admin_port, (("Authorization", f"Bearer {ADMIN_KEY}"),)
        allowed = frozenset()
    return Target(name, part.kind, port, running.grpc_port, headers, allowed)


def job(arguments):
    """One shard, in a process of the pool."""
    target, seed, first, count = arguments
    numbers = range(first, first + count)
    if target.kind == "grpc" or (target.kind == "mixed" and first // SHARD % 5 == 4):
        tally = asyncio.run(grpc_fuzzer.share(target, seed, numbers))
    else:
        tally = share(target, seed, numbers)
    return first, count, tally


def run(name, requests, *, seed, folder, processes, progress, shipped):
    """Send what the part lacks; all that came of it, as JSON. Kept in the folder as it goes."""
    part, kept = PARTS[name], folder / f"{name}.jsonl"
    total, done = Tally(), set()
    if kept.exists():
        for line in kept.read_text().splitlines():
            with contextlib.suppress(ValueError):  # the line that a kill has cut
                one = json.loads(line)
                done.add(one["first"])
                total.add(Tally(**one["tally"]))
                progress(one["count"])
    jobs = [
        (first, min(SHARD, requests - first))
        for first in range(0, requests, SHARD)
        if first not in done
    ]
    began_s = time.monotonic()
    connections = 1 + 3 * bool(part.settings)
    with server(folder, keys=part.keys, shipped=shipped, **part.settings) as running:
        target, before = target_of(name, part, running), running.counted()
        with watching(running.port, connections) as watch, kept.open("a") as lines:
            fresh, baseline = Tally(), None
            for first, count, tally in _results(target, seed, jobs, processes, running):
                fresh.add(tally)
                line = {"first": first, "count": count, "tally": tally.as_json()}
                lines.write(json.dumps(line) + "\n")
                lines.flush()
                progress(count)
                sent = sum(fresh.answers.values()) + fresh.unanswered
                if baseline is None and sent >= BASELINE_SHARE * sum(count for _, count in jobs):
                    baseline = running.sample()
            after = running.settled(baseline) if jobs else None
        total.add(fresh)
        problems = [] if running.lives else ["the server has ended"]
        if running.lives and part.kind in _COUNTED:
            problems += _miscounted(running, before, fresh, watch, part)
        problems += faults_of_log(running.running.log_path)
        if jobs and baseline:
            problems += growth(baseline, after)
        if watch.failed:
            problems.append(f"/health/live failed {watch.failed} times")
        if watch.longest_ms > MOST_GAP_MS:
            problems.append(f"/health/live was silent for {watch.longest_ms:.0f} ms")
    return {
        "part": name, "requests": total.requests, "classes": total.by_class(),
        "answers": dict(sorted(total.answers.items())), "hangs": total.hangs,
        "seconds": round(time.monotonic() - began_s, 1),
        "live_asked": watch.asked, "live_longest_ms": round(watch.longest_ms, 1),
        "live_gaps": [(round(ms, 1), at) for ms, at in watch.gaps[:5]],
        "at_10": baseline and asdict(baseline), "at_100": after and asdict(after),
        "problems": problems, "faults": total.faults,
    }  # fmt: skip


def _results(target, seed, jobs, processes, running):
    """Each shard's tally as it is done, until the server ends."""
    if target.kind == "openapi":
        for first, count in jobs:
            yield first, count, openapi.share(running, seed, first, count)
        return
    work = [(target, seed, first, count) for first, count in jobs]
    if processes == 0:
        yield from map(job, work)
        return
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(processes, initializer=_give_way) as pool:
        for result in pool.imap_unordered(job, work):
            yield result
            if not running.lives:
                break


def _give_way():
    os.nice(NICE)


def _miscounted(running, before, sent, watch, part):
    """How the server's counters differ from what came back."""
    until_s = time.monotonic() + COUNTED_WITHIN_S
    while True:
        found = _differences(running.counted(), before, sent, watch, is_exact=part.is_exact)
        if not found or time.monotonic() > until_s:
            return found
        time.sleep(0.2)


def _differences(after, before, sent, watch, *, is_exact):
    expected = dict(sent.answers)
    if "400" in expected:
        expected["400"] -= sent.malformed
    expected["200"] = expected.get("200", 0) + watch.asked - watch.failed
    found = []
    for status in sorted({*after, *expected}):
        counted = after.get(status, 0) - before.get(status, 0)
        wanted = expected.get(status, 0)
        # Pages of metrics are counted too, once they have been made.
        own = range(1 + COUNTED_WITHIN_S * 5) if status == "200" else (0,)
        if counted < wanted or (is_exact and counted - wanted not in own):
            found.append(f"{counted} requests with {status} were counted, {wanted} answered")
    return found
