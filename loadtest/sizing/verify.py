"""Verify a recommendation by measuring one replica of it: predicted against measured."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.analysis.capacity import texts_per_request
from loadtest.analysis.recommendation import SizedChoice
from loadtest.analysis.summary import combine
from loadtest.analysis.validity import THRESHOLDS, Thresholds
from loadtest.measure.run import run
from loadtest.measure.server import LoadTestError
from loadtest.report.build import read_rounds
from loadtest.report.check_file import write_check
from loadtest.samples import Samples
from loadtest.scenario import Load, Scenario

_LOAD = "recommended"


@dataclass(frozen=True)
class VerificationPlan:
    """How long to measure, and the largest relative error of a prediction that holds."""

    rounds: int = 3
    """Measured at a time, until the p99 holds or is refuted."""
    most_times: int = 4
    measured_s: float = 15.0
    max_error: float = 0.2


PLAN = VerificationPlan()


@dataclass(frozen=True)
class Verification:
    """The predicted and the measured figures of one replica at its share of the traffic."""

    predicted_p99_ms: float
    p99_ms: float
    """Infinite if more than a hundredth of the requests got no answer."""
    predicted_rps: float
    achieved_rps: float
    max_error: float

    @property
    def holds(self) -> bool:
        """Whether p99 and throughput are within the largest error of the prediction, or better."""
        fast = self.p99_ms <= (1.0 + self.max_error) * self.predicted_p99_ms
        return fast and self.achieved_rps >= (1.0 - self.max_error) * self.predicted_rps

    def is_refuted(self, p99_low_ms: float | None) -> bool:
        """Tell whether more rounds are in vain; `p99_low_ms` is the lower bound of the p99."""
        limit_ms = (1.0 + self.max_error) * self.predicted_p99_ms
        slow = math.isinf(self.p99_ms) or (p99_low_ms is not None and p99_low_ms > limit_ms)
        return slow or self.achieved_rps < (1.0 - self.max_error) * self.predicted_rps

    def as_text(self) -> str:
        """Report predictions, measurements and errors in one line."""
        rps_error = self.achieved_rps / self.predicted_rps - 1.0
        measured = (
            f"measured {self.p99_ms:.1f} ms ({self.p99_ms / self.predicted_p99_ms - 1.0:+.0%})"
            if math.isfinite(self.p99_ms)
            else "but more than 1 % of the requests got no answer"
        )
        return (
            f"p99 predicted {self.predicted_p99_ms:.1f} ms, {measured}; requests/s predicted "
            f"{self.predicted_rps:.1f}, measured "
            f"{self.achieved_rps:.1f} ({rps_error:+.0%}): {'holds' if self.holds else 'MISSED'}"
        )


def verify(
    folder: Path,
    report: dict[str, Any],
    chosen: SizedChoice,
    plan: VerificationPlan = PLAN,
    thresholds: Thresholds = THRESHOLDS,
) -> Verification:
    """Measure one replica of the choice at its rate, and keep the outcome in the report's folder.

    The p99 of few requests is above the limit by chance, so it is measured again, and judged over
    all rounds, until it is within the limit, its lower bound is above it, or the plan ends.
    Raise LoadTestError if every round was refused.
    """
    rounds: list[Samples] = []
    for time in range(plan.most_times):
        rounds += _measured(folder, report, chosen, plan, time)
        load = combine(rounds, report["scenario"]["slo_p99_ms"], thresholds)
        if not load.latency_ms or not load.achieved_rps:
            raise LoadTestError(f"every round of the check was refused: {'; '.join(load.refusals)}")
        p99_ms = load.latency_ms["p99"]
        found = Verification(
            predicted_p99_ms=chosen.p99_ms,
            p99_ms=p99_ms.value,
            predicted_rps=chosen.rate_rps,
            achieved_rps=load.achieved_rps.value,
            max_error=plan.max_error,
        )
        if found.holds or found.is_refuted(p99_ms.low):
            break
    write_check(folder, chosen, found.p99_ms, found.holds)
    return found


def _measured(
    folder: Path, report: dict[str, Any], chosen: SizedChoice, plan: VerificationPlan, time: int
) -> list[Samples]:
    """Measure some rounds, with other arrivals each time."""
    of_report = Scenario.model_validate(report["scenario"])
    scenario = of_report.model_copy(
        update={
            "rounds": plan.rounds,
            "measured_s": plan.measured_s,
            "floor": False,
            "seed": of_report.seed + plan.rounds * time,
            "loads": [
                Load(
                    name=_LOAD,
                    kind="open",
                    rate_rps=chosen.rate_rps,
                    texts_per_request=texts_per_request(report["variants"]),
                )
            ],
        }
    )
    registry = folder / "registries" / f"{chosen.model}.{chosen.variant}"
    measured = run(
        scenario,
        folder / "checks",
        report["command"],
        registry=None if report["url"] else registry,
        url=report["url"],
        wanted=[chosen.variant],
    )
    return read_rounds(measured, f"{chosen.model}.{chosen.variant}.{_LOAD}", plan.rounds)
