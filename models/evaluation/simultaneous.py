"""Intervals of many figures of the same texts that all hold together with 95 %. Pure."""

from collections.abc import Callable

import numpy as np
from scipy import stats

from models.evaluation.statistics import Flags, Floats, Indices
from serving.bundles.evaluation import Estimate

_CONFIDENCE = 0.95
_RESAMPLES = 1000
_SEED = 0
_ADDED = 4
_DECIMALS = 5
_MOST_COUNTS = 4_000_000


def shares(hits: Flags) -> list[Estimate]:
    """Return the share of true values in each row of `hits`, (figures, texts).

    Clopper and Pearson's exact intervals (1934) with Bonferroni's correction, so that they hold
    for any dependence between the rows and for shares of 0 and 1, where no bootstrap does.
    """
    figures, texts = hits.shape
    counts = hits.sum(axis=1)
    tail = (1 - _CONFIDENCE) / 2 / figures
    low = np.nan_to_num(stats.beta.ppf(tail, counts, texts - counts + 1), nan=0.0)
    high = np.nan_to_num(stats.beta.ppf(1 - tail, counts + 1, texts - counts), nan=1.0)
    return _estimates(counts / texts, low, high)


def means(values: Floats) -> list[Estimate]:
    """Return the mean of each row of `values`, (figures, texts), differences of -2 to 2.

    The intervals are as wide as the largest of all standardised errors is in 95 % of resamples of
    the texts (max-T; Westfall and Young 1993), so figures that move together cost little. Each
    variance counts four texts more, two of 1 and two of -1, as Agresti and Min (2005) do for paired
    shares: without them a difference that no text shows would have an interval of no width.
    """
    texts = values.shape[1]
    mean, square = values.mean(axis=1), (values**2).sum(axis=1)
    errors = np.sqrt(((square + _ADDED) / (texts + _ADDED) - mean**2) / texts)
    drawn = _means_of_resamples(values)
    alone = float(stats.norm.ppf((1 + _CONFIDENCE) / 2))
    # Where hardly a text shows a difference, resamples do not vary as other texts would.
    reach = max(alone, _largest(np.abs(drawn - mean) / errors)) * errors
    return _estimates(mean, mean - reach, mean + reach)


def figures(compute: Callable[[Indices], Floats], texts: int) -> list[Estimate]:
    """Return `compute(indices of all texts)`, (figures,), with intervals of the max-T bootstrap.

    Errors are the distances of resamples from their own mean, so a figure that is biased, as
    calibration errors are, has an interval around what is measured on as many texts.
    """
    generator = np.random.default_rng(_SEED)
    drawn = np.stack([compute(generator.integers(0, texts, texts)) for _ in range(_RESAMPLES)])
    values, errors = compute(np.arange(texts)), drawn.std(axis=0)
    apart = np.abs(drawn - drawn.mean(axis=0))
    certain = errors > 0
    reach = _largest(apart[:, certain] / errors[certain]) * errors
    return _estimates(values, np.maximum(values - reach, 0.0), values + reach)


def _means_of_resamples(values: Floats) -> Floats:
    """The means of each row, (figures, texts), in resamples, of shape (resamples, figures)."""
    texts = values.shape[1]
    generator, even = np.random.default_rng(_SEED), np.full(texts, 1 / texts)
    size = max(1, _MOST_COUNTS // texts)
    return np.concatenate(
        [
            generator.multinomial(texts, even, min(size, _RESAMPLES - at)) @ values.T / texts
            for at in range(0, _RESAMPLES, size)
        ]
    )


def _largest(standardised: Floats) -> float:
    """The 95 % quantile of the largest of each resample's errors, of shape (resamples, figures)."""
    return float(np.quantile(standardised.max(axis=1, initial=0.0), _CONFIDENCE))


def _estimates(values: Floats, low: Floats, high: Floats) -> list[Estimate]:
    return [
        Estimate(value=v, low=min(a, v), high=max(b, v))
        for v, a, b in np.round([values, low, high], _DECIMALS).T.tolist()
    ]
