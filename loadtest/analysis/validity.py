"""Which phases do not count, and what is said of those that do.

Only a fault of the client or of the machine voids a phase, and it is judged by figures of the
client and of the machine alone. A server that falls behind, refuses or slows down is a result:
without those phases the figures would be those of the survivors.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loadtest.analysis.phase import PhaseSummary
from loadtest.analysis.statistics import mean
from loadtest.samples import NO_ANSWER

_MANY = 0.01  # of the requests: as many decide the p99


@dataclass(frozen=True)
class Thresholds:
    """When a phase's figures are refused, and when something is said of them."""

    lateness_share: float = 0.2
    """Largest share of the p99 that the client may add to it."""
    lateness_ms: float = 5.0
    """Lateness that is always allowed: a busy client cannot hold a share of a very short p99."""
    client_cpu_share: float = 0.9
    """Largest share of its core that the client may use."""
    other_cpu_share: float = 0.1
    """Largest share of the machine's cores that other programs may take."""
    achieved_share: float = 0.95
    """Smallest share of the offered rate that a server that keeps up answers in time."""
    rounds_ratio: float = 1.5
    """Ratio of a round's throughput to the median round's, either way, that is named."""
    halves_ratio: float = 1.25
    """Ratio of the median latencies of a phase's halves, over all rounds, that is named."""


THRESHOLDS = Thresholds()


@dataclass(frozen=True)
class Validity:
    """How many phases of a report's variants count."""

    planned: int
    """More than `phases` if the run was interrupted."""
    phases: int
    excluded: int
    causes: dict[str, int]
    """Excluded phases by cause, the most frequent first; one may have several."""


def validity(variants: Iterable[dict[str, Any]], planned: int) -> Validity:
    """Count the phases of a report's variants, and those that count in no figure by cause."""
    loads = [load for variant in variants for load in variant["loads"].values()]
    rounds = [each for load in loads for each in load["rounds"]]
    excluded = [each for each in rounds if each["refusals"]]
    causes = Counter(cause for each in excluded for cause in each["causes"])
    return Validity(planned, len(rounds), len(excluded), dict(causes.most_common()))


def refusals(figures: PhaseSummary, thresholds: Thresholds) -> dict[str, str]:
    """Say by cause why the figures show the limits of the client or the machine, with a remedy."""
    if not figures.requests:
        return {
            "no request was due in the measured time": "No request was due in the measured time. "
            "Lengthen it or raise the rate."
        }
    found = {}
    p99_ms = figures.answered_p99_ms or 0.0
    limit_ms = max(thresholds.lateness_ms, thresholds.lateness_share * p99_ms)
    if figures.lateness_p99_ms > limit_ms:
        found["the client sent requests late"] = (
            f"The client sent requests late: p99 lateness {figures.lateness_p99_ms:.1f} ms, limit "
            f"{limit_ms:.1f} ms. Lower the rate or give the client its own cores."
        )
    if figures.loop_lag_p99_ms > limit_ms:
        found["the client's event loop lagged"] = (
            f"The client's event loop lagged: p99 {figures.loop_lag_p99_ms:.1f} ms, limit "
            f"{limit_ms:.1f} ms. Give the client its own cores."
        )
    if figures.client_cpu_share > thresholds.client_cpu_share:
        found["the client used its whole core"] = (
            f"The client used {figures.client_cpu_share:.0%} of its core, limit "
            f"{thresholds.client_cpu_share:.0%}, so it may be the bottleneck. Raise `processes` in "
            "the scenario, or lower its users and rates."
        )
    if figures.other_cpu_share > thresholds.other_cpu_share:
        found["other programs used the machine"] = (
            f"Other programs took {figures.other_cpu_share:.0%} of the machine's cores, limit "
            f"{thresholds.other_cpu_share:.0%}. Stop them and run again."
        )
    return found


def findings(figures: PhaseSummary, thresholds: Thresholds) -> list[str]:
    """Say what the server did not keep up with: requests without an answer, a growing queue."""
    found = []
    if unanswered := figures.status.get(str(NO_ANSWER), 0):
        found.append(
            f"{unanswered} requests got no answer at all: see the server's log in the report's "
            "logs folder."
        )
    refused = figures.requests - figures.status.get("200", 0) - unanswered
    share = refused / max(figures.requests, 1)
    if share > _MANY:
        found.append(
            f"The server refused or failed {share:.1%} of the requests, so the p99 is beyond any "
            "limit."
        )
    handled_rps = figures.achieved_rps + share * figures.offered_rps
    if handled_rps < thresholds.achieved_share * figures.offered_rps:
        found.append(
            f"The server fell behind: it answered {figures.achieved_rps:.1f} of "
            f"{figures.offered_rps:.1f} offered requests/s in time."
        )
    return found


def drifts(rounds: Sequence[PhaseSummary], thresholds: Thresholds) -> dict[int, list[str]]:
    """Name, by round, those far from the others, and all if they drift in the same direction.

    They count: nothing shows that the machine was at fault, and a server may slow down too. One
    round alone may drift by chance.
    """
    if len(rounds) < 3:
        return {}
    found: dict[int, list[str]] = {}
    middle = float(np.median([each.achieved_rps for each in rounds]))
    for each in rounds:
        low, high = middle / thresholds.rounds_ratio, middle * thresholds.rounds_ratio
        if not low <= each.achieved_rps <= high:
            found.setdefault(each.round, []).append(
                f"It answered {each.achieved_rps:.1f} requests/s, while the median round had "
                f"{middle:.1f}: measure again to see which is usual."
            )
    trend = mean([float(np.log(each.halves_ratio)) for each in rounds if each.halves_ratio])
    drift = max(trend.low or 0.0, -(trend.high or 0.0)) if trend else 0.0
    if trend and drift > np.log(thresholds.halves_ratio):
        for each in rounds:
            found.setdefault(each.round, []).append(
                f"No steady state: over all rounds the median latency in the second half was "
                f"{np.exp(trend.value):.2f} times that in the first. Lengthen the warm-up or lower "
                "the rate."
            )
    return found
