"""Checks a recommendation by running it: predicted against measured.

It does not know how the prediction was made.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.measure.run import run
from loadtest.measure.server import LoadTestError
from loadtest.report.build import build
from loadtest.scenario import Load, Scenario
from loadtest.sizing.recommend import Deployment

GOAL = 0.2  # largest error of a prediction that holds
_LOAD = "recommended"
_ROUNDS = 3
_MEASURED_S = 15.0


@dataclass(frozen=True)
class Verification:
    """One replica at its share of the traffic."""

    predicted_p99_ms: float
    p99_ms: float
    predicted_rps: float
    achieved_rps: float

    @property
    def holds(self) -> bool:
        """Whether p99 and throughput are within 20 % of the prediction, or better."""
        slower = self.p99_ms <= (1.0 + GOAL) * self.predicted_p99_ms
        return slower and self.achieved_rps >= (1.0 - GOAL) * self.predicted_rps

    def recommendation_text(self) -> str:
        """Predicted, measured and the errors."""
        p99_error = self.p99_ms / self.predicted_p99_ms - 1.0
        rps_error = self.achieved_rps / self.predicted_rps - 1.0
        return (
            f"p99 predicted {self.predicted_p99_ms:.1f} ms, measured {self.p99_ms:.1f} ms "
            f"({p99_error:+.0%}); requests/s predicted {self.predicted_rps:.1f}, measured "
            f"{self.achieved_rps:.1f} ({rps_error:+.0%}): {'holds' if self.holds else 'MISSED'}"
        )


def verify(folder: Path, report: dict[str, Any], choice: Deployment) -> Verification:
    """Runs one replica of the choice at its rate, three times for 15 s.

    Raises LoadTestError when every round was refused.
    """
    scenario = Scenario.model_validate(
        report["scenario"]
        | {
            "rounds": _ROUNDS,
            "measured_s": _MEASURED_S,
            "floor": False,
            "loads": [Load(name=_LOAD, kind="open", rate_rps=choice.rate_rps)],
        }
    )
    made = run(
        scenario,
        folder / "checks",
        report["command"],
        registry=None
        if report["url"]
        else folder / "registries" / f"{choice.model}.{choice.variant}",
        url=report["url"],
        wanted=[choice.variant],
    )
    load = build(made)["variants"][0]["loads"][_LOAD]
    if not load["latency_ms"]:
        raise LoadTestError(f"the check was refused: {'; '.join(load['refusals'])}")
    return Verification(
        predicted_p99_ms=choice.p99_ms,
        p99_ms=load["latency_ms"]["p99"]["value"],
        predicted_rps=choice.rate_rps,
        achieved_rps=load["achieved_rps"]["value"],
    )
