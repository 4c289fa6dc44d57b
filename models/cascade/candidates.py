"""Chooses a cascade: candidates ordered on some texts, tested on others. Pure.

It does not know how a variant is asked, nor what its answer costs; it is given both.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from models.cascade.confidence_calibration import calibrated, scores
from models.cascade.risk_control import p_value, passed
from models.evaluation.predictions import predicted
from models.evaluation.statistics import Flags, Floats, Indices, right
from models.recipe_sections import ProblemType
from serving.bundles.cascade import Isotonic, Target, Temperature

_MOST_STAGES = 3
_SHARES = np.linspace(0, 0.98, 50)


@dataclass(frozen=True)
class Answers:
    """Some texts' truth, of shape (texts, labels), and logits, (variants, texts, labels)."""

    truth: Flags
    logits: Floats

    def of(self, texts: Indices) -> "Answers":
        """These texts alone, in this order."""
        return Answers(self.truth[texts], self.logits[:, texts])


@dataclass(frozen=True)
class Problem:
    """What is to be guaranteed, against which variant, and what each costs a text (variants,).

    `askable` are the variants that a chain may have.
    """

    target: Target
    problem_type: ProblemType
    reference: int
    costs: Floats
    askable: tuple[int, ...]


@dataclass(frozen=True)
class Chain:
    """Variants in the order in which they are asked, by index; the last needs no threshold."""

    variants: tuple[int, ...]
    thresholds: tuple[float, ...]

    def until(self, stage: int) -> "Chain":
        """The same, ending with a stage, counted from 0."""
        return Chain(self.variants[: stage + 1], self.thresholds[:stage])


@dataclass(frozen=True)
class Judged:
    """Texts ready for chains: each variant's losses and scores, both (variants, texts).

    A loss is the reference's right answers less the variant's; for agreement the reference is
    always right. `groups`, (groups, texts), are all texts or those of each label.
    """

    losses: Floats
    scores: Floats
    groups: Flags

    def reached(self, chain: Chain) -> Flags:
        """Which texts each stage is asked, of shape (stages, texts)."""
        left = np.ones((1, self.scores.shape[1]), dtype=np.bool_)
        for variant, threshold in zip(chain.variants, chain.thresholds, strict=False):
            left = np.vstack([left, left[-1] & (self.scores[variant] < threshold)])
        return left

    def lost(self, chain: Chain) -> Floats:
        """The chain's losses, of shape (texts,)."""
        return np.asarray(self.losses[self.answering(chain), np.arange(self.losses.shape[1])])

    def worst(self, chain: Chain) -> float:
        """The mean loss of the group that loses most; 0 where a group has no text."""
        lost = self.lost(chain)
        return max(float(lost[group].sum()) / max(1, int(group.sum())) for group in self.groups)

    def answering(self, chain: Chain) -> Indices:
        """The variant whose answer counts, of shape (texts,)."""
        return np.asarray(np.array(chain.variants)[self.reached(chain).sum(axis=0) - 1])

    def cost(self, chain: Chain, costs: Floats) -> float:
        """The mean cost a text."""
        return float(self.reached(chain).mean(axis=1) @ costs[list(chain.variants)])


@dataclass(frozen=True)
class Selection:
    """The calibrations (by variant), the tested sequence, and the cheapest chain that passed."""

    calibrations: list[Temperature | Isotonic]
    grid: list[Floats]
    sequence: list[Chain]
    chosen: Chain | None
    tested: Judged


def select(ordered: Answers, tested: Answers, problem: Problem) -> Selection:
    """The cheapest cascade whose expected loss is at most the target's, with its confidence.

    Pareto testing (Laufer-Goldshtein et al. 2023): calibrations, thresholds and the order of the
    candidates, from the safest to the cheapest, come from `ordered` alone; `tested` says how far
    fixed-sequence testing goes. The guarantee holds whatever `ordered` is.
    """
    standard = standards(ordered, problem)
    calibrations = [calibrated(each, standard, problem.problem_type) for each in ordered.logits]
    candidates = Candidates(judged(ordered, calibrations, problem), problem)
    sequence = candidates.frontier()
    found = judged(tested, calibrations, problem)
    p_values = (p_value(found.lost(chain), found.groups, problem.target) for chain in sequence)
    count = passed(p_values, problem.target.confidence)
    return Selection(
        calibrations, candidates.grid, sequence, sequence[count - 1] if count else None, found
    )


def standards(answers: Answers, problem: Problem) -> Flags:
    """The answers that are right, (texts, labels): the truth, or for agreement the reference's."""
    if problem.target.loss == "accuracy":
        return answers.truth
    return predicted(answers.logits[problem.reference], problem.problem_type)


def judged(
    answers: Answers, calibrations: Sequence[Temperature | Isotonic], problem: Problem
) -> Judged:
    """Answers ready for chains."""
    kind = problem.problem_type
    standard = standards(answers, problem)
    hits = np.stack([right(standard, predicted(each, kind)) for each in answers.logits])
    sure = [scores(x, how, kind) for x, how in zip(answers.logits, calibrations, strict=True)]
    everything = np.ones((1, len(standard)), dtype=np.bool_)
    groups = standard.T if problem.target.each_label else everything
    return Judged(hits[problem.reference] - hits.astype(np.float64), np.stack(sure), groups)


class Candidates:
    """Every chain of two or three variants of rising cost, on a grid of thresholds.

    The grid is that of the scores' quantiles, so a stage accepts 2 to 100 % of the texts. `loss` is
    the worst group's; `margin` is how many standard errors it is under the target if it is taken
    as the mean of what was seen and what the scores expect: among thousands of candidates those
    that lost least were lucky.
    """

    def __init__(self, texts: Judged, problem: Problem, grid: list[Floats] | None = None) -> None:
        self._texts, self._problem = texts, problem
        self.grid = grid or [np.unique(np.quantile(each, _SHARES)) for each in texts.scores]
        by_cost = sorted(problem.askable, key=lambda variant: float(problem.costs[variant]))
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

    def chain(self, number: int) -> Chain:
        """The candidate of a place in `loss`, `margin` and `cost`."""
        for order, shape in zip(self._orders, self._shapes, strict=True):
            if number < math.prod(shape):
                at = np.unravel_index(number, shape)
                grids = (self.grid[variant] for variant in order)
                chosen = (float(g[i]) for g, i in zip(grids, at, strict=False))
                return Chain(order, tuple(chosen))
            number -= math.prod(shape)
        raise IndexError("no such candidate: this is a bug")

    def least_cost(self) -> float:
        """Of those within the target and the reference alone: what hindsight would choose."""
        allowed = self.cost[self.loss <= self._problem.target.max_loss]
        return float(allowed.min(initial=self._problem.costs[self._problem.reference]))

    def frontier(self) -> list[Chain]:
        """Those than which none is both safer and cheaper, from the safest to the cheapest.

        What costs no less than the reference alone is left out.
        """
        order = np.lexsort((-self.margin, self.cost))
        order = order[self.cost[order] < self._problem.costs[self._problem.reference]]
        safest = np.maximum.accumulate(self.margin[order])
        better = np.concatenate([[True], self.margin[order][1:] > safest[:-1]])[: len(order)]
        return [self.chain(int(number)) for number in order[better][::-1]]

    def _block(self, order: tuple[int, ...]) -> tuple[Floats, Floats, Floats]:
        """Loss, margin and cost of a chain, with one axis of thresholds a stage but the last."""
        texts, max_loss = self._texts, self._problem.target.max_loss
        grids = [self.grid[variant] for variant in order[:-1]]
        levels = [
            np.searchsorted(grid, texts.scores[variant], side="right")
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
    """The sum over texts of the value of the stage that answers, for all thresholds at once.

    `values` are of shape (stages, texts); `levels`, of all stages but the last, say how many of a
    stage's `thresholds` each text reaches.
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
