"""Every candidate cascade on a grid of thresholds, each with its loss and cost. Pure."""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from models.cascade.scored_texts import Candidate, Problem, ScoredTexts
from models.evaluation.statistics import Floats, Indices

_MOST_STAGES = 3
_SHARES = np.linspace(0, 0.98, 50)


class Candidates:
    """Every candidate of two or three variants of rising cost, on a grid of thresholds.

    The thresholds are quantiles of the scores of the texts that a stage may end, so it accepts 2 to
    100 % of these. `loss`,
    `margin` and `cost` have an entry for each candidate. `loss` is the worst group's. `margin` is
    the distance of the loss below the target in standard errors; for it, the loss is the mean of
    the observed loss and the one the scores predict, because among thousands of candidates those
    with the least observed loss were lucky.
    """

    def __init__(
        self, texts: ScoredTexts, problem: Problem, grid: list[Floats] | None = None
    ) -> None:
        self._texts, self._problem = texts, problem
        self.grid = grid or [
            np.unique(np.quantile(scores[ends], _SHARES)) if ends.any() else np.ones(1)
            for scores, ends in zip(texts.scores, texts.may_end, strict=True)
        ]
        by_cost = sorted(problem.eligible, key=lambda variant: float(problem.costs[variant]))
        self._orders = [
            order
            for stages in range(2, _MOST_STAGES + 1)
            for order in combinations(by_cost, stages)
        ]
        blocks = [self._block(order) for order in self._orders]
        self._shapes = [block[0].shape for block in blocks]
        self.loss, self.margin, self.cost = (
            np.concatenate([block[part].ravel() for block in blocks]) for part in range(3)
        )

    def candidate(self, number: int) -> Candidate:
        """Return the candidate at an index of `loss`, `margin` and `cost`."""
        for order, shape in zip(self._orders, self._shapes, strict=True):
            if number < math.prod(shape):
                at = np.unravel_index(number, shape)
                grids = (self.grid[variant] for variant in order)
                chosen = (float(g[i]) for g, i in zip(grids, at, strict=False))
                return Candidate(order, tuple(chosen))
            number -= math.prod(shape)
        raise IndexError("no such candidate: this is a bug")

    def least_cost(self) -> float:
        """Return the least cost within the target on these texts, or the reference's alone."""
        allowed = self.cost[self.loss <= self._problem.target.max_loss]
        return float(allowed.min(initial=self._problem.costs[self._problem.reference]))

    def frontier(self) -> list[Candidate]:
        """Return the candidates that none beats in both margin and cost, the safest first.

        Candidates that cost no less than the reference alone are left out.
        """
        order = np.lexsort((-self.margin, self.cost))
        order = order[self.cost[order] < self._problem.costs[self._problem.reference]]
        safest = np.maximum.accumulate(self.margin[order])
        better = np.concatenate([[True], self.margin[order][1:] > safest[:-1]])[: len(order)]
        return [self.candidate(int(number)) for number in order[better][::-1]]

    def _block(self, order: tuple[int, ...]) -> tuple[Floats, Floats, Floats]:
        """Loss, margin and cost for one order of variants, with an axis of thresholds a stage."""
        texts, max_loss = self._texts, self._problem.target.max_loss
        grids = [self.grid[variant] for variant in order[:-1]]
        levels = [
            np.searchsorted(grid, texts.scores[variant], side="right") * texts.may_end[variant]
            for grid, variant in zip(grids, order, strict=False)
        ]
        sizes = [len(grid) for grid in grids]
        losses = texts.losses[list(order)]
        expected = texts.scores[self._problem.reference] - texts.scores[list(order)]
        means, margins = [], []
        for group in texts.groups:
            n = max(1, int(group.sum()))
            mean, square, scored = (
                _summed(each * group, levels, sizes) / n for each in (losses, losses**2, expected)
            )
            means.append(mean)
            error = np.sqrt((square - mean**2 + 1 / n) / n)
            margins.append((max_loss - (mean + scored) / 2) / error)
        spent = np.cumsum(self._problem.costs[list(order)]) / losses.shape[1]
        cost = _summed(np.repeat(spent[:, None], losses.shape[1], axis=1), levels, sizes)
        return np.maximum.reduce(means), np.minimum.reduce(margins), cost


def _summed(values: Floats, levels: Sequence[Indices], thresholds: Sequence[int]) -> Floats:
    """Sum the answering stage's value over the texts, for all combinations of thresholds at once.

    `values` has the shape (stages, texts). `levels`, for all stages but the last, is how many of
    the stage's `thresholds` each text's score reaches.
    """
    shape = [count + 1 for count in thresholds]
    cell = np.ravel_multi_index(tuple(levels), tuple(shape))
    left = [
        np.bincount(cell, each, minlength=math.prod(shape)).reshape(shape).cumsum(axis=0)[:-1]
        for each in values
    ]
    if len(levels) == 1:
        return np.asarray(values[0].sum() - left[0] + left[1])
    own, second, third = left
    answered = values[0].sum() - own.sum(axis=1) + second.sum(axis=1)
    return np.asarray(answered[:, None] + (third - second).cumsum(axis=1)[:, :-1])
