"""Processes that are killed, stopped, paused and slowed."""

import os
import signal
import time

import psutil

from tests.benchmarks.faults.outcome import (
    NOT_LIVE,
    NOTHING_LOST,
    STAYS_LIVE,
    STAYS_READY,
    alerts,
    answered,
    ends,
    logs,
    lost_at_most,
    ready_says,
    recovers,
)
from tests.benchmarks.faults.scene import fault

CLIENTS = 6
PAIR = {"http_processes": 2}
IN_HAND = "those that were in hand"
SLOW = ("SIGSTOP for 20 ms of every 40", 0.02, 0.02)


def both(name, *checks, quick=False, **how):
    """The same fault of a server with one process and of one with two HTTP processes."""

    def register(inject):
        fault(f"{name}: the only process", *checks, quick=quick, **how)(inject)
        fault(f"{name}: the engine process", *checks, **PAIR, **how)(inject)
        return inject

    return register


@both(
    "SIGKILL",
    lost_at_most(3 * CLIENTS, IN_HAND),
    ends(-signal.SIGKILL, 2, ", so that Kubernetes restarts it"),
    alerts("SizewiseNoneReady"),
    ends=True,
)
def killed(scene):
    orphans = scene.fronts()
    scene.kill(scene.pid)
    scene.until_ended()
    scene.until(lambda: not any(map(_is_running, orphans)), "the HTTP processes end", 10)


def _is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@both("SIGTERM", NOTHING_LOST, ends(0, 10), quick=True, ends=True)
def terminated(scene):
    scene.kill(scene.pid, sig=signal.SIGTERM)
    scene.until_ended()


@both("SIGTERM twice", NOTHING_LOST, ends(0, 10), ends=True, shutdown_delay_ms=5000)
def terminated_twice(scene):
    scene.kill(scene.pid, sig=signal.SIGTERM)
    scene.watch(0.5)
    scene.kill(scene.pid, sig=signal.SIGTERM)
    scene.until_ended()


@both("SIGINT", NOTHING_LOST, ends(0, 10), ends=True)
def interrupted(scene):
    scene.kill(scene.pid, sig=signal.SIGINT)
    scene.until_ended()


@both("SIGHUP", NOTHING_LOST, ends(0, 10), ends=True)
def hung_up(scene):
    scene.kill(scene.pid, sig=signal.SIGHUP)
    scene.until_ended()


@both("SIGSTOP for 3 s", answered(), recovers(2), alerts("SizewiseNoneReady"), stops=True)
def stopped(scene):
    scene.stop(3, scene.pid)


@fault(
    "SIGSTOP for 12 s: the only process",
    answered(504),
    recovers(3),
    NOT_LIVE,
    alerts("SizewiseNoneReady"),
    stops=True,
)
def stopped_long(scene):
    scene.stop(12, scene.pid)


@fault(
    "SIGSTOP for 13 s: the engine process",
    answered(503, 504),
    recovers(3),
    STAYS_LIVE,
    ready_says(503),
    logs("the engine process is silent"),
    logs("the engine process is heard again"),
    stops=True,
    **PAIR,
)
def engine_stopped_long(scene):
    scene.stop(13, scene.pid)


@fault(
    "SIGSTOP for good: the engine process",
    NOT_LIVE,
    ready_says(503),
    logs("the engine process is silent"),
    alerts("SizewiseNoneReady"),
    ends=True,
    **PAIR,
)
def engine_stopped_for_good(scene):
    fronts = scene.fronts()
    scene.kill(scene.pid, sig=signal.SIGSTOP)
    scene.until(
        lambda: not any(map(_is_running, fronts)),
        "the HTTP processes end",
        25,
    )
    scene.watch(1.2)
    os.kill(scene.pid, signal.SIGKILL)
    scene.until_ended()


@both("SIGSTOP for 0.5 s of every second", answered(), recovers(2), stops=True)
def stopped_often(scene):
    scene.slow(4, 0.5, 0.5, scene.pid)


@both(SLOW[0], answered(), recovers(1), STAYS_LIVE, STAYS_READY, stops=True)
def slowed(scene):
    scene.slow(4, *SLOW[1:], scene.pid)


@fault(
    "SIGKILL: one HTTP process",
    lost_at_most(3 * CLIENTS, IN_HAND),
    recovers(5),
    STAYS_READY,
    logs("an HTTP process has ended and is replaced"),
    quick=True,
    **PAIR,
)
def front_killed(scene):
    _end_fronts(scene, signal.SIGKILL, scene.fronts()[:1])


def _end_fronts(scene, sig, pids):
    scene.kill(*pids, sig=sig)

    def replaced():
        found = scene.fronts()
        return len(found) == 2 and not set(pids) & set(found)

    scene.until(replaced, "it is replaced")
    scene.watch(1)


@fault(
    "SIGTERM: one HTTP process",
    answered(),
    recovers(1),
    STAYS_LIVE,
    logs("an HTTP process has ended and is replaced"),
    **PAIR,
)
def front_terminated(scene):
    _end_fronts(scene, signal.SIGTERM, scene.fronts()[:1])


@fault(
    "SIGKILL: both HTTP processes",
    lost_at_most(6 * CLIENTS, IN_HAND),
    recovers(8),
    logs("an HTTP process has ended and is replaced"),
    stops=True,
    **PAIR,
)
def fronts_killed(scene):
    _end_fronts(scene, signal.SIGKILL, scene.fronts())


@fault(
    "SIGKILL three times: one HTTP process after the other",
    lost_at_most(9 * CLIENTS, IN_HAND),
    recovers(8),
    logs("an HTTP process has ended and is replaced"),
    stops=True,
    **PAIR,
)
def front_killed_often(scene):
    for _ in range(3):
        _end_fronts(scene, signal.SIGKILL, scene.fronts()[:1])


@fault("SIGSTOP for 3 s: one HTTP process", answered(), recovers(2), stops=True, **PAIR)
def front_stopped(scene):
    scene.stop(3, scene.fronts()[0])


@fault("SIGSTOP for 12 s: one HTTP process", answered(504), recovers(2), stops=True, **PAIR)
def front_stopped_long(scene):
    scene.stop(12, scene.fronts()[0])


@fault(
    "SIGSTOP for good: one HTTP process",
    lost_at_most(3 * CLIENTS, IN_HAND),
    recovers(5),
    logs("an HTTP process is silent"),
    logs("an HTTP process has ended and is replaced"),
    stops=True,
    **PAIR,
)
def front_stopped_for_good(scene):
    _end_fronts(scene, signal.SIGSTOP, scene.fronts()[:1])


@fault("SIGSTOP for 3 s: both HTTP processes", answered(), recovers(2), stops=True, **PAIR)
def fronts_stopped(scene):
    scene.stop(3, *scene.fronts())


@fault("SIGSTOP for 3 s: all processes", answered(), recovers(2), stops=True, **PAIR)
def all_stopped(scene):
    scene.stop(3, scene.pid, *scene.fronts())


@fault(f"{SLOW[0]}: one HTTP process", answered(), recovers(1), STAYS_READY, stops=True, **PAIR)
def front_slowed(scene):
    scene.slow(4, *SLOW[1:], scene.fronts()[0])


@fault(
    "SIGKILL: all processes",
    lost_at_most(3 * CLIENTS, IN_HAND),
    ends(-signal.SIGKILL, 2, ", so that Kubernetes restarts it"),
    ends=True,
    **PAIR,
)
def all_killed(scene):
    scene.kill(*scene.fronts(), scene.pid)
    scene.until_ended()


@fault("SIGTERM: all processes", NOTHING_LOST, ends(0, 10), ends=True, **PAIR)
def all_terminated(scene):
    scene.kill(*scene.fronts(), scene.pid, sig=signal.SIGTERM)
    scene.until_ended()


@fault(
    "Two servers: a new one starts, then the old one gets SIGTERM",
    NOTHING_LOST,
    ends(0, 10),
    ends=True,
)
def upgraded(scene):
    with scene.another() as newer:
        scene.kill(scene.pid, sig=signal.SIGTERM)
        until_s = time.monotonic() + 3
        while time.monotonic() < until_s:
            status = newer.classify({"texts": ["good film"]}).status_code
            scene.require(status == 200, f"the new server answers 200, not {status}")
        scene.until_ended()
