"""What a page draws of one load: how its latencies are distributed, and how they went over time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loadtest.analysis.phase import latencies_ms, measured_requests, quantile
from loadtest.samples import Samples

_BINS_PER_DECADE = 20
_SLICES = 240  # of all rounds together, so that a page stays small however long the run was
_LEAST_SLICE_S = 1.0
_REQUESTS_A_SLICE = 200  # twice what a p99 needs, so that hardly a slice has too few
_LEAST_FOR_P99 = 100  # of fewer the p99 is the slowest


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
    """None as well where a slice has fewer than 100 requests."""


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
    """Cut each round's measured time into equal slices, by when a request was due.

    They are as short as a second, but have 200 requests each on average.
    """
    longest_s = max((samples.phase.measured_s for samples in rounds), default=_LEAST_SLICE_S)
    requests = sum(int(measured_requests(samples).sum()) for samples in rounds)
    count = max(1, len(rounds))
    slices = min(
        math.ceil(longest_s / _LEAST_SLICE_S),
        _SLICES // count,
        requests // (count * _REQUESTS_A_SLICE),
    )
    slices = max(1, slices)
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
            found.p50_ms.append(_known(quantile(own_ms, 0.5)))
            p99_ms = quantile(own_ms, 0.99) if own_ms.size >= _LEAST_FOR_P99 else None
            found.p99_ms.append(_known(p99_ms))
    return found


def _known(value: float | None) -> float | None:
    return None if value is None else _rounded(value)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
