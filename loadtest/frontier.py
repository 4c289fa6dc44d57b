"""The arithmetic of a report: intervals over rounds, the Pareto frontier, capacity. Pure.

It does not know files, HTTP or where the figures come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

_SECTIONS = 10  # of a single round
_WIDEST = 10.0  # a bound further than this factor from the value says nothing


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; a bound is None where the sample is too small for one."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Candidate:
    """One variant as a choice: more accuracy, less latency and fewer bytes are better."""

    name: str
    accuracy: float
    latency_ms: float
    bytes: int


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


def mean(rounds: Sequence[float], confidence: float = 0.95) -> Estimate | None:
    """The mean of one figure a round with Student's interval; None without a round."""
    if not rounds:
        return None
    return _sectioned(float(np.mean(rounds)), np.asarray(rounds, np.float64), confidence)


def mean_of_rates(rounds: Sequence[float], confidence: float = 0.95) -> Estimate | None:
    """`mean` of what can't be negative, as rates and durations: its interval ends at 0."""
    found = mean(rounds, confidence)
    if found is None or found.low is None:
        return found
    return Estimate(found.value, max(0.0, found.low), found.high)


def quantile_of_rounds(
    rounds: Sequence[NDArray[np.float64]], q: float, confidence: float = 0.95
) -> Estimate:
    """The q-quantile of all values together, with an interval that counts rounds, not values.

    Each of `rounds` has shape (requests,), at least 1, in the order of time. Requests of one round
    share its queue and its machine; rounds are independent. So the interval is that of
    sectioning: Student's t over the rounds' own quantiles around the overall one (Asmussen and
    Glynn, Stochastic Simulation, 2007, III.5a), of their logarithms, which are less skewed. Of five
    rounds of 1,500 requests to an M/M/1 queue it holds the true p50, p95 and p99 in 96, 95 and 94 %
    of runs at load 0.5, and in 95, 94 and 91 % at load 0.7, where 1,500 are few for a p99. A single
    round is cut into ten stretches of time, too short where its queue remembers longer. Bounds
    tenfold away, as two rounds give them, are left out.
    The value is an observation (numpy's "inverted_cdf"), not an interpolation.
    Raises ValueError when there is no value or q or confidence is not within (0, 1).
    """
    if not 0.0 < q < 1.0 or not 0.0 < confidence < 1.0:
        raise ValueError(f"q and confidence lie between 0 and 1, got {q} and {confidence}")
    if not rounds or min(values.size for values in rounds) == 0:
        raise ValueError("a quantile needs at least one value in every round")
    value = float(np.quantile(np.concatenate(rounds), q, method="inverted_cdf"))
    sections = rounds
    if len(rounds) == 1:
        sections = [part for part in np.array_split(rounds[0], _SECTIONS) if part.size]
    own = np.array([np.quantile(part, q, method="inverted_cdf") for part in sections])
    if value <= 0.0 or own.min() <= 0.0:
        return _sectioned(value, own, confidence)
    found = _sectioned(float(np.log(value)), np.log(own), confidence)
    if found.high is None or found.high > np.log(value * _WIDEST):
        return Estimate(value, None, None)
    assert found.low is not None, "bounds come in pairs"
    return Estimate(value, float(np.exp(found.low)), float(np.exp(found.high)))


def _sectioned(value: float, own: NDArray[np.float64], confidence: float) -> Estimate:
    """The interval around `value` that its sections' own figures, shape (sections,), give."""
    if own.size < 2:
        return Estimate(value, None, None)
    variance = float(np.sum((own - value) ** 2)) / (own.size - 1)
    half = float(stats.t.ppf((1.0 + confidence) / 2.0, own.size - 1)) * (variance / own.size) ** 0.5
    return Estimate(value, value - half, value + half)


def pareto(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates that no other dominates, in the order given.

    One dominates another when it is nowhere worse and somewhere better.
    """
    return [one for one in candidates if not any(_dominates(other, one) for other in candidates)]


def _dominates(one: Candidate, other: Candidate) -> bool:
    costs, others = ((-choice.accuracy, choice.latency_ms, choice.bytes) for choice in (one, other))
    return costs != others and all(a <= b for a, b in zip(costs, others, strict=True))


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
