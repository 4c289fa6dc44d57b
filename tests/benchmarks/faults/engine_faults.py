"""Engines that raise, hang, answer short or nonsense, and are slow."""

from tests.benchmarks.faults.outcome import (
    NOTHING_LOST,
    STAYS_LIVE,
    STAYS_READY,
    alerts,
    answered,
    ends,
    logs,
    moves,
    ready_says,
    recovers,
)
from tests.benchmarks.faults.scene import fault

PROGRAM = "tests.support.faulty_serving"
BURN = alerts("SizewiseErrorBudgetBurnFast")
FAULT_S = 2.5
PAIR = {"http_processes": 2}


def faulty(place):
    return {"program": PROGRAM, "environ": {"FAULTY_ENGINE": str(place / "engine")}}


def engine_fault(name, says, *checks, seconds=FAULT_S, **how):
    """An engine that misbehaves for a while."""

    def inject(scene):
        scene.injected()
        (scene.place / "engine").write_text(says)
        scene.watch(seconds)
        (scene.place / "engine").unlink(missing_ok=True)
        scene.healed()
        scene.until_ready()

    inject.__module__ = __name__
    fault(f"engine {name}", *checks, prepare=faulty, **how)(inject)
    if name in {"raises always", "answers one row short"} or seconds > FAULT_S:
        fault(f"engine {name}, HTTP processes", *checks, prepare=faulty, **PAIR, **how)(inject)


engine_fault("raises once", "raise once", answered(), recovers(1), STAYS_LIVE, STAYS_READY)
engine_fault(
    "raises always", "raise", answered(500), recovers(1), STAYS_LIVE, STAYS_READY, BURN,
    moves("requests_total"),
)  # fmt: skip
engine_fault(
    "raises on one text", "raise awful", answered(500), recovers(1), STAYS_LIVE, STAYS_READY, BURN
)
engine_fault("answers one row short", "short", answered(500), recovers(1), STAYS_LIVE, BURN)
engine_fault("answers NaN", "nan", answered(500), recovers(1), STAYS_LIVE, BURN)
engine_fault("answers too few labels", "shape", answered(500), recovers(1), STAYS_LIVE, BURN)
engine_fault("is ten times as slow", "slow", answered(), recovers(1), STAYS_LIVE, STAYS_READY)
engine_fault(
    "hangs for 2 s, of 1.6 s that it may",
    "hang",
    answered(500, 503),
    recovers(1),
    STAYS_LIVE,
    ready_says(503),
    logs("an engine does not respond"),
    logs("an engine responds again"),
    alerts("SizewiseNoneReady"),
    seconds=2.9,
    engine_timeout_ms=1600,
)

ENDED = (
    NOTHING_LOST,
    ends(2, 20, ", so that Kubernetes restarts it"),
    ready_says(503),
    logs("an engine does not respond"),
    alerts("SizewiseNoneReady"),
)
FOR_EVER = {"prepare": faulty, "ends": True, "engine_timeout_ms": 1500}


@fault("engine hangs for ever", *ENDED, **FOR_EVER)
@fault("engine hangs for ever, HTTP processes", *ENDED, **FOR_EVER, http_processes=2)
def hangs_for_ever(scene):
    scene.injected()
    (scene.place / "engine").write_text("hang")
    scene.until_ended()
    scene.require("a batch has run for over 1.5 s" in scene.server.log(), "it says the reason")
