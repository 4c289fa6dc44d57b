"""Figures with their 95 % intervals, from labels and probabilities. Pure.

It does not know where the answers come from.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import stats

from serving.bundle import Estimate

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]

_CONFIDENCE = 0.95
_RESAMPLES = 1000
_SEED = 0
_BINS = 15


def proportion(hits: npt.NDArray[np.bool_]) -> Estimate:
    """The share of true values, with the exact interval of Clopper and Pearson (1934).

    Raises ValueError when there is none to count.
    """
    if not hits.size:
        raise ValueError("no proportion of nothing: the split is empty")
    result = stats.binomtest(int(hits.sum()), hits.size)
    interval = result.proportion_ci(_CONFIDENCE, method="exact")
    return Estimate(
        value=float(result.statistic), low=float(interval.low), high=float(interval.high)
    )


def bootstrapped(
    figure: Callable[[npt.NDArray[np.int64]], float], texts: int, resamples: int = _RESAMPLES
) -> Estimate:
    """`figure(indices of the texts)` with the percentile interval of the bootstrap (Efron 1979).

    Seeded; widened where needed so that it holds the figure itself, which a biased figure such
    as a calibration error may fall short of.
    """
    generator = np.random.default_rng(_SEED)
    drawn = [figure(generator.integers(0, texts, texts)) for _ in range(resamples)]
    tail = (1 - _CONFIDENCE) / 2
    value = figure(np.arange(texts))
    low, high = (float(quantile) for quantile in np.quantile(drawn, (tail, 1 - tail)))
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def macro_f1(truth: Labels, answers: Labels, classes: int) -> float:
    """The mean over the classes of F1; a class that neither has nor gets any counts as 1."""
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (truth, answers), 1)
    right = np.diag(confusion)
    sizes = confusion.sum(0) + confusion.sum(1)
    return float(np.where(sizes > 0, 2 * right / np.maximum(sizes, 1), 1.0).mean())


def expected_calibration_error(truth: Labels, probabilities: Probabilities) -> float:
    """The mean distance of confidence from accuracy, in 15 equal bins (Guo et al. 2017).

    `probabilities` has shape (texts, classes); confidence is a text's largest.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(truth))
