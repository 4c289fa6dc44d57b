"""Estimates with confidence intervals over independent rounds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

_SECTIONS = 10  # how many parts a single round is cut into
_LEAST_BEYOND = 0.5  # of an effective sample: fewer values beyond a quantile tell no upper bound
_MAX_RATIO = 10.0  # a bound further than this factor from the value carries no information


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; a bound is None if the sample is too small for one."""

    value: float
    low: float | None
    high: float | None


def mean(rounds: Sequence[float], confidence: float = 0.95) -> Estimate | None:
    """Return the mean of one figure per round with Student's interval; None without a round."""
    if not rounds:
        return None
    return _sectioned(float(np.mean(rounds)), np.asarray(rounds, np.float64), confidence)


def mean_of_rates(rounds: Sequence[float], confidence: float = 0.95) -> Estimate | None:
    """Return the `mean` of rates or durations, which are never negative: clip the interval at 0."""
    found = mean(rounds, confidence)
    if found is None or found.low is None:
        return found
    return Estimate(found.value, max(0.0, found.low), found.high)


def quantile_of_rounds(
    rounds: Sequence[NDArray[np.float64]], q: float, confidence: float = 0.95
) -> Estimate:
    """Return the q-quantile of all values, with an interval whose sample is rounds, not values.

    Each of `rounds` has shape (requests,), at least 1, in the order of time. Requests in one round
    share its queue and its machine, while rounds are independent. The interval is therefore that
    of sectioning: Student's t over the rounds' own quantiles around the overall one (Asmussen and
    Glynn, Stochastic Simulation, 2007, III.5a), on logarithms, which are less skewed. A single
    round is cut into ten sections of time.

    Near saturation a round is short beside the queue's memory: its quantile is low and skewed, and
    the bound above it too low. There the half-width above is that of sectioning and of a sample of
    the effective size from an exponential tail, as queues have (`_tail_error`), added in squares.
    For rounds of an M/M/1 queue the interval covers the true p99 in 95 % of runs or more up to load
    0.95, where sectioning alone covers 70 to 84 % from load 0.9 on
    (docs/development/decisions/2026-11-27-wider-above-near-saturation.md). Below an effective
    size of 0.5 / (1 - q) the bound above is unknown.

    Bounds more than tenfold away, typical of two rounds, are left out. The value is an observation
    (numpy's "inverted_cdf"), not an interpolation; it may be infinite, and then has no bounds.
    Raise ValueError if there is no value or q or confidence is not within (0, 1).
    """
    if not 0.0 < q < 1.0 or not 0.0 < confidence < 1.0:
        raise ValueError(f"q and confidence must lie between 0 and 1, got {q} and {confidence}")
    if not rounds or min(values.size for values in rounds) == 0:
        raise ValueError("a quantile needs at least one value in every round")
    together = np.concatenate(rounds)
    value = float(np.quantile(together, q, method="inverted_cdf"))
    sections = rounds
    if len(rounds) == 1:
        sections = [part for part in np.array_split(rounds[0], _SECTIONS) if part.size]
    own = np.array([np.quantile(part, q, method="inverted_cdf") for part in sections])
    if not np.isfinite(own).all() or not np.isfinite(value):
        return Estimate(value, None, None)
    if value <= 0.0 or own.min() <= 0.0:
        return _sectioned(value, own, confidence)
    found = _sectioned(float(np.log(value)), np.log(own), confidence)
    if found.high is None or found.high > np.log(value * _MAX_RATIO):
        return Estimate(value, None, None)
    assert found.low is not None, "bounds come in pairs"
    low = float(np.exp(found.low))
    effective = effective_size(rounds)
    if effective * (1.0 - q) < _LEAST_BEYOND:
        return Estimate(value, low, None)
    tail = float(stats.norm.ppf((1.0 + confidence) / 2.0)) * _tail_error(together, q, effective)
    high = value * float(np.exp(np.hypot(found.high - found.value, tail)))
    return Estimate(value, low, high if high <= value * _MAX_RATIO else None)


def effective_size(rounds: Sequence[NDArray[np.float64]]) -> float:
    """Return how many independent values would tell as much of the mean as these.

    Their number over the integrated autocorrelation time, around the mean of all rounds, by
    Geyer's initial monotone sequence (Practical Markov Chain Monte Carlo, 1992, 3.3).
    """
    finite = np.concatenate(rounds)
    largest, total = finite[np.isfinite(finite)].max(initial=0.0), finite.size
    centre = float(np.minimum(finite, largest).mean())
    lags = max(values.size for values in rounds)
    length = 1 << (2 * lags - 1).bit_length()
    products, pairs = np.zeros(lags), np.zeros(lags)
    for values in rounds:
        spectrum = np.fft.rfft(np.minimum(values, largest) - centre, length)
        products += np.fft.irfft(np.abs(spectrum) ** 2, length)[:lags]
        pairs += np.maximum(values.size - np.arange(lags), 0)
    if products[0] <= 1e-12 * max(centre, 1.0) ** 2:
        return float(total)
    correlations = products / pairs * pairs[0] / products[0]
    sums = correlations[: lags // 2 * 2].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(sums <= 0.0)
    kept = np.minimum.accumulate(sums[: negative[0] if negative.size else sums.size])
    return float(total / max(1.0, 2.0 * kept.sum() - 1.0))


def _tail_error(values: NDArray[np.float64], q: float, effective: float) -> float:
    """Return the relative standard error of a quantile above the median in an exponential tail.

    The waits of a busy queue are exponential (Kingman, On queues in heavy traffic, 1962): the mean
    excess is the same everywhere above the median, and gives the density at the quantile.
    """
    if q <= 0.5:
        return 0.0
    median, value = np.quantile(values, [0.5, q], method="inverted_cdf")
    excess = (value - median) / np.log(0.5 / (1.0 - q)) / value
    return float(excess * (q / ((1.0 - q) * effective)) ** 0.5)


def _sectioned(value: float, own: NDArray[np.float64], confidence: float) -> Estimate:
    """Return `value` with the interval from its sections' own figures, shape (sections,)."""
    if own.size < 2:
        return Estimate(value, None, None)
    variance = float(np.sum((own - value) ** 2)) / (own.size - 1)
    half = float(stats.t.ppf((1.0 + confidence) / 2.0, own.size - 1)) * (variance / own.size) ** 0.5
    return Estimate(value, value - half, value + half)
