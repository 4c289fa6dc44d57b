"""Capacity: the highest rate that one replica serves within a latency objective."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Point:
    """One measured open load: what was offered, and the p99 that it had."""

    rate_rps: float
    p99_ms: float


@dataclass(frozen=True)
class Capacity:
    """The rate up to which a p99 holds; `measured_out` when no measured load exceeded it."""

    rate_rps: float
    measured_out: bool


def capacity(points: Sequence[Point], slo_ms: float) -> Capacity | None:
    """The highest rate at which the p99 stays within `slo_ms`; None when no point does.

    Between points the logarithm of the p99 is taken as linear in the rate, after it was made to
    grow with the rate (the running maximum: more load is not faster, so a dip is noise). Nothing
    is said beyond the highest measured rate.
    """
    ordered = sorted(points, key=lambda point: point.rate_rps)
    if not ordered:
        return None
    rates = np.array([point.rate_rps for point in ordered])
    logs = np.maximum.accumulate(np.log([point.p99_ms for point in ordered]))
    limit = float(np.log(slo_ms))
    if logs[0] > limit:
        return None
    if logs[-1] <= limit:
        return Capacity(float(rates[-1]), measured_out=True)
    above = int(np.argmax(logs > limit))
    share = (limit - logs[above - 1]) / (logs[above] - logs[above - 1])
    rate_rps = rates[above - 1] + share * (rates[above] - rates[above - 1])
    return Capacity(float(rate_rps), measured_out=False)


def predicted_p99_ms(points: Sequence[Point], rate_rps: float) -> float:
    """The p99 at a rate, by the same curve as `capacity`; constant below the lowest point.

    Raises ValueError beyond the highest measured rate or without a point.
    """
    ordered = sorted(points, key=lambda point: point.rate_rps)
    if not ordered or rate_rps > ordered[-1].rate_rps * (1.0 + 1e-9):
        raise ValueError(f"nothing was measured at {rate_rps:.1f} requests/s")
    logs = np.maximum.accumulate(np.log([point.p99_ms for point in ordered]))
    return float(np.exp(np.interp(rate_rps, [point.rate_rps for point in ordered], logs)))
