"""Limits of memory, descriptors, threads and time, and a wall clock that jumps."""

import os
import resource
import shutil
import socket
import subprocess
from pathlib import Path

import psutil

from tests.benchmarks.faults.engine_faults import PROGRAM
from tests.benchmarks.faults.outcome import (
    NOTHING_LOST,
    STAYS_LIVE,
    STAYS_READY,
    alerts,
    answered,
    recovers,
)
from tests.benchmarks.faults.scene import Unavailable, fault
from tests.support.bundles import write_bundle

UNTOUCHED = (answered(), recovers(0.5), STAYS_LIVE, STAYS_READY)
REFUSED = alerts("SizewiseBundleRefused")
PAIR = {"http_processes": 2}
HOUR_S = 3600
ROOM_BYTES = 48 << 20
LARGE_BYTES = 200_000_000
NOBODY = 65_534


def clock(place):
    return {"program": PROGRAM, "environ": {"FAULTY_CLOCK": str(place / "clock")}}


def clock_jumps(name, seconds, **how):
    def inject(scene):
        scene.injected()
        (scene.place / "clock").write_text(str(seconds))
        scene.watch(2)
        (scene.place / "clock").unlink()
        scene.healed()
        scene.watch(1)

    inject.__module__ = __name__
    fault(f"clock jumps {name}", *UNTOUCHED, prepare=clock, **how)(inject)


clock_jumps("forward by an hour", HOUR_S)
clock_jumps("back by an hour", -HOUR_S)
clock_jumps("back before 1970", -100 * 366 * 24 * HOUR_S)
clock_jumps("forward by an hour, HTTP processes", HOUR_S, **PAIR)


def _limit_data(pid, room):
    used = psutil.Process(pid).memory_info().data
    _, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
    resource.prlimit(pid, resource.RLIMIT_DATA, (used + room, hard))


@fault("memory limit, and a bundle that does not fit", *UNTOUCHED, REFUSED)
@fault("memory limit of the engine process, and a bundle that does not fit", *UNTOUCHED, **PAIR)
def memory_for_bundle(scene):
    write_bundle(scene.place / "huge", variant="huge", ballast_bytes=LARGE_BYTES, accuracy=0.95)
    scene.injected()
    _limit_data(scene.pid, ROOM_BYTES)
    shutil.copytree(scene.place / "huge", scene.family / "huge")
    scene.until_refused("huge")
    scene.watch(1)


@fault(
    "memory limit at what is used, in each process", NOTHING_LOST, STAYS_LIVE, recovers(1), **PAIR
)
@fault("memory limit at what is used", NOTHING_LOST, STAYS_LIVE, recovers(1))
def memory_exhausted(scene):
    scene.injected()
    pids = [scene.pid, *scene.fronts()]
    for pid in pids:
        _limit_data(pid, 0)
    scene.watch(2)
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_DATA, (resource.RLIM_INFINITY,) * 2)
    scene.healed()


def connections(port, count):
    opened = []
    for _ in range(count):
        connection = socket.socket()
        connection.settimeout(2)
        try:
            connection.connect(("127.0.0.1", port))
        except OSError:
            connection.close()
            break
        opened.append(connection)
    return opened


def few_descriptors(count):
    return {"prefix": ("prlimit", f"--nofile={count}")}


@fault("256 descriptors and 500 idle connections", *UNTOUCHED, **few_descriptors(256))
@fault(
    "256 descriptors and 500 idle connections, HTTP processes",
    *UNTOUCHED,
    **PAIR,
    **few_descriptors(256),
)
def descriptors(scene):
    scene.injected()
    opened = connections(scene.port, 500)
    scene.notes.append(f"{len(opened)} connected")
    version = scene.publish(scale=1.5)
    scene.until_served(version)
    for each in opened:
        each.close()


@fault("descriptor limit lowered to what is open", recovers(1), stops=True)
@fault("descriptor limit lowered to what is open, HTTP processes", recovers(1), stops=True, **PAIR)
def descriptors_lowered(scene):
    scene.injected()
    pids = scene.fronts() or [scene.pid]
    for pid in pids:
        used = max(int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()) + 1
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, 4096))
    scene.watch(2)
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (4096, 4096))
    scene.healed()


def another_user(_place):
    """Root has no limit of threads."""
    if os.geteuid() or not shutil.which("setpriv"):
        raise Unavailable("only root can start a server as another user (setpriv)")
    rights = "+dac_read_search,+dac_override"
    return {
        "prefix": (
            "setpriv", f"--reuid={NOBODY}", f"--inh-caps={rights}", f"--ambient-caps={rights}",
        )
    }  # fmt: skip


@fault("thread limit at what is used, and a new bundle", *UNTOUCHED, prepare=another_user)
def threads(scene):
    scene.injected()
    # Only the same user may set it.
    command = ["setpriv", f"--reuid={NOBODY}", "prlimit", f"--pid={scene.pid}"]
    used = psutil.Process(scene.pid).num_threads()
    subprocess.run([*command, f"--nproc={used}:"], check=True)
    version = scene.publish(scale=1.5)
    scene.watch(2)
    subprocess.run([*command, "--nproc=1000:"], check=True)
    scene.healed()
    scene.until_served(version)
