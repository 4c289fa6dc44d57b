"""The arithmetic of a report: percentiles with intervals, and the Pareto frontier. Pure.

It does not know files, HTTP or where the figures come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats


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


def percentile(values: NDArray[np.float64], q: float, confidence: float = 0.95) -> Estimate:
    """The q-quantile of the values, shape (n,), with its exact distribution-free interval.

    The value is the smallest observation that at least a share q does not exceed (numpy's
    "inverted_cdf"): a latency that happened, not an interpolation. The interval is between two
    order statistics, whose ranks follow from the binomial distribution (Hahn and Meeker,
    Statistical Intervals, 1991, section 5.2). It takes the values as independent; waiting times
    under high load are not, and their true interval is wider.

    Raises ValueError when there is no value, or q or confidence is not within (0, 1).
    """
    if not 0.0 < q < 1.0 or not 0.0 < confidence < 1.0:
        raise ValueError(f"q and confidence lie between 0 and 1, got {q} and {confidence}")
    if values.size == 0:
        raise ValueError("a percentile needs at least one value")
    ordered = np.sort(values)
    n = ordered.size
    tail = (1.0 - confidence) / 2.0
    low_rank = int(stats.binom.ppf(tail, n, q))
    high_rank = int(stats.binom.ppf(1.0 - tail, n, q)) + 1
    return Estimate(
        value=float(np.quantile(ordered, q, method="inverted_cdf")),
        low=float(ordered[low_rank - 1]) if low_rank >= 1 else None,
        high=float(ordered[high_rank - 1]) if high_rank <= n else None,
    )


def pareto(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates that no other dominates, in the order given.

    One dominates another when it is nowhere worse and somewhere better.
    """
    return [one for one in candidates if not any(_dominates(other, one) for other in candidates)]


def _dominates(one: Candidate, other: Candidate) -> bool:
    costs, others = ((-choice.accuracy, choice.latency_ms, choice.bytes) for choice in (one, other))
    return costs != others and all(a <= b for a, b in zip(costs, others, strict=True))
