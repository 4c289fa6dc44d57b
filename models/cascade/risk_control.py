"""Risk control: what the losses on n texts prove about the expected loss. Pure.

Texts count as independent draws.
"""

import itertools
import math
from collections.abc import Iterable

import numpy as np
from scipy import stats

from models.evaluation.statistics import Flags, Floats
from serving.bundles.cascade import Target

_LARGEST_BET = 0.75
_PRIOR_VARIANCE = 0.25
_SMALLEST_MEAN = -0.25
_HALVINGS = 50
_MOST_TEXTS = 300_000
_BETS = 400


def p_value(losses: Floats, groups: Flags, target: Target) -> float:
    """Test the hypothesis that the expected loss exceeds `target.max_loss` in some group.

    `losses`, (texts,), are 0 or 1 (agreement) or -1 to 1 (accuracy); `groups` is (groups, texts).
    All groups must be within the target, so the largest p-value counts (an intersection-union
    test, Berger 1982). A group without texts has 1.
    """
    return max(_p_value(losses[group], target.max_loss, target) for group in groups)


def upper_bound(losses: Floats, groups: Flags, target: Target) -> float:
    """Bound the worst group's expected loss at `target.confidence`, by inverting the p-value.

    The bound is at most `max_loss` where the p-value is at most 1 - confidence. Arguments are
    those of `p_value`.
    """
    bound = _binomial_bound if target.loss == "agreement" else _betting_bound
    return max(bound(losses[group], target) for group in groups)


def refutation(losses: Floats, groups: Flags, target: Target) -> float:
    """Test the hypothesis that the expected loss is within the target in every group.

    A small p-value refutes the guarantee. It is the least of the groups', times their number
    (Bonferroni). Arguments are those of `p_value`.
    """
    least = min(
        (_refutation(losses[group], target) for group in groups if group.any()), default=1.0
    )
    return min(1.0, least * len(groups))


def passed(p_values: Iterable[float], confidence: float) -> int:
    """Count the hypotheses that fixed-sequence testing rejects: all before the first p that fails.

    A p-value fails above 1 - confidence. If the order does not depend on the tested texts, no true
    hypothesis is rejected, with probability `confidence` (Learn-then-Test, Angelopoulos et al.
    2021).
    """
    return sum(1 for _ in itertools.takewhile(lambda p: p <= 1 - confidence, p_values))


def texts_needed(losses: Floats, target: Target) -> int | None:
    """Estimate how many texts with losses in these proportions would prove the target.

    Losses that are all 0 give the fewest. None if no number would do, or more than 300,000.
    """
    if target.loss == "agreement":
        texts = np.arange(1, _MOST_TEXTS)
        lost = np.ceil(losses.mean() * texts)
        proves = stats.binom.cdf(lost, texts, target.max_loss) <= 1 - target.confidence
        return int(texts[proves.argmax()]) if proves.any() else None
    bets = np.linspace(0, _LARGEST_BET, _BETS)
    growth = np.log1p(bets[:, None] * (target.max_loss - losses)).mean(axis=1).max()
    texts_float = -math.log(1 - target.confidence) / growth if growth > 0 else math.inf
    return math.ceil(texts_float) if texts_float < _MOST_TEXTS else None


def _p_value(losses: Floats, mean: float, target: Target) -> float:
    if target.loss == "agreement":
        return float(stats.binom.cdf(losses.sum(), losses.size, mean)) if losses.size else 1.0
    return _betting_p_value(losses, _bets(losses, target), mean)


def _refutation(losses: Floats, target: Target) -> float:
    if target.loss == "agreement":
        return float(stats.binom.sf(losses.sum() - 1, losses.size, target.max_loss))
    # The bets of a gain, small enough that no single text can take all the capital.
    bets = _bets(-losses, target) / (1 + target.max_loss)
    return _betting_p_value(-losses, bets, -target.max_loss)


def _binomial_bound(losses: Floats, target: Target) -> float:
    """Clopper and Pearson (1934), one-sided."""
    lost = losses.sum()
    if lost == losses.size:
        return 1.0
    return float(stats.beta.ppf(target.confidence, lost + 1, losses.size - lost))


def _bets(losses: Floats, target: Target) -> Floats:
    """Predictable plug-in bets (Waudby-Smith and Ramdas 2024, eq. 26), for a game of n texts."""
    seen = np.arange(2, losses.size + 2)
    means = losses.cumsum() / seen
    variances = (_PRIOR_VARIANCE + ((losses - means) ** 2).cumsum()) / seen
    before = np.concatenate([[_PRIOR_VARIANCE], variances])[: losses.size]
    wanted = np.sqrt(-2 * math.log(1 - target.confidence) / (max(1, losses.size) * before))
    return np.asarray(np.minimum(_LARGEST_BET, wanted))


def _betting_p_value(losses: Floats, bets: Floats, mean: float) -> float:
    """One over the largest capital of a player who bets that the expected loss is below `mean`.

    If it is not, the capital is a supermartingale that starts at 1, so it reaches 1 / p with
    probability at most p (Ville 1939). The texts must be in random order. A mean below the
    observed one is never refuted.
    """
    if not losses.size or losses.mean() > mean:
        return 1.0
    capital = np.log1p(bets * (mean - losses)).cumsum()
    return min(1.0, math.exp(-capital.max()))


def _betting_bound(losses: Floats, target: Target) -> float:
    """The largest mean that the player's capital does not refute, by bisection."""
    bets = _bets(losses, target)
    low, high = _SMALLEST_MEAN, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        refuted = _betting_p_value(losses, bets, middle) <= 1 - target.confidence
        low, high = (low, middle) if refuted else (middle, high)
    return high
