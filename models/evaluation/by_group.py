"""Means of groups of texts and the gaps between them, with intervals that hold together. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import sparse, stats

from models.evaluation.statistics import Floats, Indices
from serving.bundles.evaluation import Estimate

_CONFIDENCE = 0.95
_RESAMPLES = 1000
_SEED = 0
_DECIMALS = 5
_MOST_COUNTS = 4_000_000


@dataclass(frozen=True)
class Cell:
    """A value for each text of a group: `rows` are the texts' places, `values` their values."""

    rows: Indices
    values: Floats


def shares(cells: Sequence[Cell]) -> list[Estimate]:
    """Return the mean of each cell, whose values are 0 and 1.

    Clopper and Pearson's exact intervals (1934) with Bonferroni's correction.
    """
    sizes = np.array([len(cell.rows) for cell in cells])
    counts = np.array([cell.values.sum() for cell in cells])
    tail = (1 - _CONFIDENCE) / 2 / max(1, len(cells))
    low = np.nan_to_num(stats.beta.ppf(tail, counts, sizes - counts + 1), nan=0.0)
    high = np.nan_to_num(stats.beta.ppf(1 - tail, counts + 1, sizes - counts), nan=1.0)
    return [_estimate(*each) for each in zip((counts / sizes).tolist(), low, high, strict=True)]


def means(cells: Sequence[Cell], texts: int, least: float) -> list[Estimate]:
    """Return the mean of each cell, whose values are from `least` to 1, of so many `texts`."""
    if not cells:
        return []
    found = _Moments(cells, texts, least)
    reach = _reach(found.drawn / found.errors) * found.errors
    return [
        _estimate(value, middle - by, middle + by)
        for value, middle, by in zip(found.means, found.middles, reach, strict=True)
    ]


def gaps(families: Sequence[Sequence[Cell]], texts: int, least: float) -> list[Estimate]:
    """Return the largest difference of means between two cells of each family, of two or more.

    The differences of all pairs in all families get intervals that hold together: the largest
    difference is then at least the largest lower end, and at most the largest upper end. A pair's
    interval is that of Agresti and Caffo (2000), for which each cell counts the two extremes once
    more, `least` and 1; all are as wide as the largest of the standardised errors is in 95 % of
    resamples of the texts (max-T; Westfall and Young 1993).
    """
    if not families:
        return []
    found = _Moments([cell for family in families for cell in family], texts, least)
    first, pairs = 0, []
    for family in families:
        pairs.append(np.array(list(combinations(range(first, first + len(family)), 2))))
        first += len(family)
    errors = [np.hypot(*found.errors[its].T) for its in pairs]
    largest = np.max(
        [
            np.abs((found.drawn[:, its[:, 0]] - found.drawn[:, its[:, 1]]) / error).max(axis=1)
            for its, error in zip(pairs, errors, strict=True)
        ],
        axis=0,
    )
    reach = _reach(largest[:, None])
    result = []
    for its, error in zip(pairs, errors, strict=True):
        middles = np.abs(found.middles[its[:, 0]] - found.middles[its[:, 1]])
        means_ = found.means[its.ravel()]
        low, high = (middles - reach * error).max(), (middles + reach * error).max()
        result.append(_estimate(means_.max() - means_.min(), max(0.0, low), min(high, 1 - least)))
    return result


class _Moments:
    """Means, means with the extremes, standard errors, and the errors of means in resamples."""

    def __init__(self, cells: Sequence[Cell], texts: int, least: float) -> None:
        sizes = np.array([len(cell.rows) for cell in cells])
        sums = np.array([cell.values.sum() for cell in cells])
        squares = np.array([(cell.values**2).sum() for cell in cells])
        self.means = sums / sizes
        self.middles = (sums + least + 1) / (sizes + 2)
        spread = (squares + least**2 + 1) / (sizes + 2) - self.middles**2
        self.errors = np.sqrt(spread / (sizes + 2))
        at = np.concatenate([cell.rows for cell in cells])
        of = np.repeat(np.arange(len(cells)), sizes)
        influence = np.concatenate([(c.values - c.values.mean()) / len(c.rows) for c in cells])
        table = sparse.csr_array((influence, (at, of)), shape=(texts, len(cells)))
        generator, even = np.random.default_rng(_SEED), np.full(texts, 1 / texts)
        size = max(1, _MOST_COUNTS // texts)
        self.drawn: Floats = np.concatenate(
            [
                generator.multinomial(texts, even, min(size, _RESAMPLES - done)) @ table
                for done in range(0, _RESAMPLES, size)
            ]
        )
        """(resamples, cells)"""


def _reach(standardised: Floats) -> float:
    """How many standard errors hold for all columns of (resamples, figures), never below one's."""
    alone = float(stats.norm.ppf((1 + _CONFIDENCE) / 2))
    return max(alone, float(np.quantile(np.abs(standardised).max(axis=1), _CONFIDENCE)))


def _estimate(value: float, low: float, high: float) -> Estimate:
    v, a, b = np.round([value, low, high], _DECIMALS).tolist()
    return Estimate(value=v, low=min(a, v), high=max(b, v))
