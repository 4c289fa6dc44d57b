"""How faithful explanations are, and how much those of two models agree. Pure."""

import numpy as np
import numpy.typing as npt
from scipy import stats

from models.evaluation.statistics import Flags, Floats

STEPS = 20
"""Steps of a curve: a twentieth of the words each."""
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Shares of the words, deleted or inserted, at which a curve is reported."""
RANDOM_ORDERS = 4
"""Random orders that a text's explanation is compared with."""
TOP_WORDS = 3
"""Words whose overlap is counted."""


def curve_rows(contributions: Floats, seed: int) -> Flags:
    """Say which words the texts of a text's curves keep.

    The shape is (1 + RANDOM_ORDERS, 2, STEPS + 1, words): the order of the contributions, the
    largest first, and the random ones; deletion and insertion (Petsiuk et al. 2018,
    https://arxiv.org/abs/1806.07421); the steps from no word deleted or inserted to all.
    """
    generator = np.random.default_rng(seed)
    words = len(contributions)
    orders = [np.argsort(-contributions, kind="stable")]
    orders += [generator.permutation(words) for _ in range(RANDOM_ORDERS)]
    rows = np.empty((len(orders), 2, STEPS + 1, words), np.bool_)
    for index, order in enumerate(orders):
        for step in range(STEPS + 1):
            rows[index, 0, step] = True
            rows[index, 0, step, order[: round(step * words / STEPS)]] = False
    rows[:, 1] = ~rows[:, 0]
    return rows


def advantages(scores: Floats) -> Floats:
    """Return by how much the explanation's order beats the random ones: deletion, insertion.

    `scores` belong to the texts of `curve_rows`. An advantage is a difference of areas under
    curves, whose width is 1: deletion should make the score fall sooner, insertion rise sooner.
    """
    areas = np.asarray(np.trapezoid(scores, dx=1 / STEPS, axis=-1))
    gained = areas[0] - areas[1:].mean(axis=0)
    return np.array([-gained[0], gained[1]])


def reported(scores: Floats) -> Floats:
    """Return a text's curves at SHARES, of shape (orders, 2, shares), for scores as `advantages`.

    The orders are the explanation's and the mean of the random ones.
    """
    both = np.stack([scores[0], scores[1:].mean(axis=0)])
    return np.asarray(both[..., [round(share * STEPS) for share in SHARES]])


def rank_correlation(mine: Floats, other: Floats) -> float | None:
    """Return Spearman's correlation of two models' contributions; None if one has no order."""
    if np.ptp(mine, axis=0) == 0 or np.ptp(other, axis=0) == 0:
        return None
    return float(stats.spearmanr(mine, other).statistic)


def top_overlap(mine: Floats, other: Floats) -> float:
    """Return the share of the other's TOP_WORDS largest contributions, in size, among mine."""
    tops: list[set[int]] = [set(_largest(each).tolist()) for each in (mine, other)]
    return len(tops[0] & tops[1]) / len(tops[1])


def _largest(contributions: Floats) -> npt.NDArray[np.int64]:
    return np.argsort(-np.abs(contributions), kind="stable")[:TOP_WORDS].astype(np.int64)
