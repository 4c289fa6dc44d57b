"""What a page draws of one load: how its latencies are distributed, and how they went over time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadtest.analysis.phase import latencies_ms, measured_requests
from loadtest.samples import Samples

_BINS_PER_DECADE = 20
_SLICES = 240  # of all rounds together, so that a page stays small however long the run was
_LEAST_SLICE_S = 1.0


@dataclass(frozen=True)
class Histogram:
    """Counts of latencies in bins of equal width on a logarithmic scale."""

    edges_ms: list[float]
    """One more than there are bins; empty if nothing was answered."""
    counts: list[int]
    unanswered: int
    """Requests that were refused, failed or got no answer: slower than any limit."""


@dataclass(frozen=True)
class Timeline:
    """Slices of the measured time in the order of the rounds: each list has one figure a slice."""

    slice_s: float
    round: list[int]
    start_s: list[float]
    """When a slice begins, in seconds after its round's warm-up."""
    requests: list[int]
    failed: list[int]
    """Of these, the ones without a 200."""
    p50_ms: list[float | None]
    """None where the quantile falls on a request without a 200, or where there was no request."""
    p99_ms: list[float | None]


def histogram(rounds: Sequence[Samples]) -> Histogram:
    """Count the latencies of all rounds together, warm-ups left out."""
    all_ms = np.concatenate([latencies_ms(samples) for samples in rounds] or [np.empty(0)])
    answered_ms = all_ms[np.isfinite(all_ms)]
    unanswered = int(all_ms.size - answered_ms.size)
    if not answered_ms.size:
        return Histogram([], [], unanswered)
    bins = np.floor(_BINS_PER_DECADE * np.log10(np.maximum(answered_ms, 1e-3))).astype(int)
    first = int(bins.min())
    counts = np.bincount(bins - first)
    edges = 10.0 ** ((first + np.arange(counts.size + 1)) / _BINS_PER_DECADE)
    return Histogram([_rounded(edge) for edge in edges], counts.tolist(), unanswered)


def timeline(rounds: Sequence[Samples]) -> Timeline:
    """Cut each round's measured time into equal slices, by when a request was due."""
    longest_s = max((samples.phase.measured_s for samples in rounds), default=_LEAST_SLICE_S)
    slices = max(1, min(math.ceil(longest_s / _LEAST_SLICE_S), _SLICES // max(1, len(rounds))))
    found = Timeline(longest_s / slices, [], [], [], [], [], [])
    for samples in rounds:
        measured = measured_requests(samples)
        due_s = np.sort(samples.intended_s[measured]) - samples.phase.warmup_s
        parts = np.split(
            latencies_ms(samples), np.searchsorted(due_s, found.slice_s * np.arange(1, slices))
        )
        for number, own_ms in enumerate(parts):
            found.round.append(samples.phase.round)
            found.start_s.append(_rounded(number * found.slice_s))
            found.requests.append(int(own_ms.size))
            found.failed.append(int(np.isinf(own_ms).sum()))
            found.p50_ms.append(_quantile(own_ms, 0.5))
            found.p99_ms.append(_quantile(own_ms, 0.99))
    return found


def _quantile(values: NDArray[np.float64], q: float) -> float | None:
    if not values.size:
        return None
    found = float(np.quantile(values, q, method="inverted_cdf"))
    return _rounded(found) if math.isfinite(found) else None


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
