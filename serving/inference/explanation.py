"""What each word of a text contributes to a score, for any model. Pure.

A model is asked for the score of the text with some of its words left out. Each method weighs the
differences that one word makes.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import comb
from typing import Literal

import numpy as np
import numpy.typing as npt

from serving.inference.words import Word, join

Method = Literal["occlusion", "shapley"]
Floats = npt.NDArray[np.float64]
_NO_VARIATION = 1e-18
_Step = tuple[int, int, float]
"""A group, the set of groups that a text keeps, this one included, and the difference's weight."""


@dataclass(slots=True)
class WordContribution:
    """Characters `start` to `end` of the text as sent, and what they add to the score."""

    text: str
    start: int
    end: int
    contribution: float


@dataclass(slots=True)
class Explanation:
    """Why a text got its score for a label.

    `score` is that of the whole text, `base_score` that without any word; `words` are those of the
    largest contributions. `r2` see Plan.
    """

    method: Method
    label: str
    score: float
    base_score: float
    evaluations: int
    r2: float
    words: list[WordContribution]


@dataclass(frozen=True, slots=True)
class Plan:
    """Which texts to evaluate, and how their scores become contributions.

    `kept`, of shape (evaluations, groups), says which groups of words a text keeps; row 0 keeps
    all, row `base` none. Difference i is weighed by `weights[i]` and is that between the scores of
    the rows `present[i]` and `absent[i]`, which differ in the group `groups[i]`.
    """

    method: Method
    kept: npt.NDArray[np.bool_]
    base: int
    groups: npt.NDArray[np.int64]
    present: npt.NDArray[np.int64]
    absent: npt.NDArray[np.int64]
    weights: Floats

    def contributions(self, scores: Floats) -> Floats:
        """Return the contribution of each group, given the score of each evaluated text."""
        differences = self.weights * (scores[self.present] - scores[self.absent])
        found = np.bincount(self.groups, differences, minlength=self.kept.shape[1])
        return found.astype(np.float64)

    def r2(self, scores: Floats, contributions: Floats) -> float:
        """Return the share of the scores' variance that the contributions' sum reproduces.

        Each text's score is taken for that of the whole text minus what its missing groups
        contribute. 1 is perfect; below 0, their mean would be closer to the scores.
        """
        left = scores - (scores[0] - ~self.kept @ contributions)
        variation = float(np.square(scores - scores.mean()).sum())
        if variation <= _NO_VARIATION:
            return 1.0
        return 1 - float(np.square(left).sum()) / variation

    def explanation(
        self, text: str, groups: Sequence[Sequence[Word]], label: str, scores: Floats, top: int
    ) -> Explanation:
        """Explain a text, given the score for `label` of each evaluated text."""
        contributions = self.contributions(scores)
        words = []
        for at in np.argsort(-np.abs(contributions), kind="stable")[:top].tolist():
            start, end = groups[at][0].start, groups[at][-1].end
            words.append(WordContribution(text[start:end], start, end, float(contributions[at])))
        return Explanation(
            self.method,
            label,
            float(scores[0]),
            float(scores[self.base]),
            len(scores),
            self.r2(scores, contributions),
            words,
        )


def most_groups(method: Method, budget: int) -> int:
    """Return how many groups of words a budget of evaluated texts (>= 2) suffices for."""
    return max(1, budget - 2) if method == "occlusion" else budget // 2


def plan(method: Method, groups: int, budget: int) -> Plan:
    """Plan at most `budget` (>= 2) evaluations for up to `most_groups` groups.

    Occlusion (Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901): the score minus that
    without the group.

    Shapley values: the mean difference that a group makes to every subset of the others, whatever
    the subset's size, so contributions sum to the score minus that of no group. Exact where the
    budget has room for every subset; else the mean over random orders in which the groups are left
    out (Castro et al. 2009, https://doi.org/10.1016/j.cor.2008.04.004), each with its reverse, an
    antithetic pair (Mitchell et al. 2022, https://jmlr.org/papers/v23/21-0439.html). Such pairs are
    exact if no more than two groups interact. The orders are the same in each call.
    """
    all_kept = (1 << groups) - 1
    if method == "occlusion":
        steps = [(group, all_kept, 1.0) for group in range(groups)]
    elif 2**groups <= budget:
        steps = _every_subset(groups)
    else:
        steps = _antithetic_orders(groups, (budget - 2) // (2 * (groups - 1)))
    rows = {all_kept: 0}
    rows.setdefault(0, len(rows))
    present, absent = [], []
    for group, kept, _ in steps:
        present.append(rows.setdefault(kept, len(rows)))
        absent.append(rows.setdefault(kept ^ 1 << group, len(rows)))
    return Plan(
        method,
        _matrix(list(rows), groups),
        rows[0],
        np.array([group for group, _, _ in steps], np.int64),
        np.array(present, np.int64),
        np.array(absent, np.int64),
        np.array([weight for _, _, weight in steps], np.float64),
    )


def _every_subset(groups: int) -> list[_Step]:
    steps = []
    for kept in range(1, 1 << groups):
        weight = 1 / (groups * comb(groups - 1, kept.bit_count() - 1))
        steps += [(group, kept, weight) for group in range(groups) if kept >> group & 1]
    return steps


def _antithetic_orders(groups: int, pairs: int) -> list[_Step]:
    order, chosen = list(range(groups)), random.Random(0)  # noqa: S311  no secret
    steps = []
    for _ in range(pairs):
        chosen.shuffle(order)
        for walk in (order, order[::-1]):
            kept = (1 << groups) - 1
            for group in walk:
                steps.append((group, kept, 1 / (2 * pairs)))
                kept ^= 1 << group
    return steps


def _matrix(sets: Sequence[int], groups: int) -> npt.NDArray[np.bool_]:
    """Return sets of groups, each the bits of a number, as a matrix (sets, groups)."""
    width = -(-groups // 8)
    packed = b"".join(kept.to_bytes(width, "little") for kept in sets)
    rows = np.frombuffer(packed, np.uint8).reshape(len(sets), width)
    return np.unpackbits(rows, axis=1, count=groups, bitorder="little").astype(np.bool_)


def grouped_words(words: Sequence[Word], most: int) -> list[list[Word]]:
    """Divide words into at most `most` groups of neighbours, of nearly equal size."""
    count = min(len(words), most)
    ends = [index * len(words) // count for index in range(count + 1)] if count else []
    return [list(words[a:b]) for a, b in pairwise(ends)]


def perturbed(
    text: str, groups: Sequence[Sequence[Word]], kept: npt.NDArray[np.bool_]
) -> list[str]:
    """Return the text with the groups that each row of `kept` keeps."""
    texts = []
    for row in kept:
        left = [word for at in np.flatnonzero(row).tolist() for word in groups[at]]
        texts.append(text if row.all() else join(text, left))
    return texts
