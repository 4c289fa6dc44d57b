"""Say which of the simulated signals to scale on, from what each missed and cost."""

from collections.abc import Mapping
from dataclasses import dataclass

from loadtest.sizing.autoscaling import Simulation

MISSED_SHARE = 0.01
"""The share of requests over the SLO that a p99 allows."""


@dataclass(frozen=True)
class SignalVerdict:
    """The signal to scale on; `holds` if it keeps the p99 over the whole trace."""

    signal: str
    holds: bool
    missed_share: float
    replica_hours: float


def best_signal(played: Mapping[str, Simulation]) -> SignalVerdict:
    """Return the signal with the fewest replica-hours of those that keep the p99.

    If none keeps it, return the one that misses least; of equals the first.
    """
    holding = {name: each for name, each in played.items() if each.missed_share <= MISSED_SHARE}
    if holding:
        name = min(holding, key=lambda each: holding[each].replica_hours)
    else:
        name = min(played, key=lambda each: played[each].missed_share)
    best = played[name]
    return SignalVerdict(name, bool(holding), best.missed_share, best.replica_hours)


def verdict_text(played: Mapping[str, Simulation], largest: int) -> str:
    """Say which signal to scale on over this trace, beside the chart's, which comes first."""
    best, chart = best_signal(played), next(iter(played))
    own = played[chart]
    figures = f"{best.missed_share:.2%} missed, {best.replica_hours:.1f} replica-hours"
    if not best.holds:
        bound = (
            f"; all {largest} replicas were in use: raise --max-replicas"
            if played[best.signal].peak_replicas >= largest
            else ""
        )
        return (
            f"No signal keeps the p99: more than 1 % of the requests miss the SLO under each. "
            f"{best.signal} misses least ({figures}){bound}."
        )
    said = f"Scale on {best.signal}: the cheapest that keeps the p99 ({figures})."
    if best.signal == chart:
        return f"{said} The chart does so with the targets that `recommend` writes."
    kept = "keeps it too" if own.missed_share <= MISSED_SHARE else "does not keep it"
    return (
        f"{said} The chart's signal, {chart}, {kept} ({own.missed_share:.2%} missed, "
        f"{own.replica_hours:.1f} replica-hours)."
    )
