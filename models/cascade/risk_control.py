"""Risk control: what the losses on n texts prove about the expected loss. Pure.

Texts count as independent draws.
"""

import bisect
import math
from collections.abc import Iterable

import numpy as np
from scipy import stats

from models.evaluation import noninferiority
from models.evaluation.statistics import Flags, Floats
from serving.bundles.cascade import Target

_MOST_TEXTS = 300_000


def p_value(losses: Floats, groups: Flags, target: Target) -> float:
    """Test the hypothesis that the expected loss exceeds `target.max_loss` in some group.

    `losses`, (texts,), are 0 or 1 (agreement) or -1, 0 or 1 (accuracy); `groups` is (groups,
    texts). All groups must be within the target, so the largest p-value counts (an
    intersection-union test, Berger 1982). A group without texts has 1.
    """
    return max(_p_value(losses[group], target) for group in groups)


def upper_bound(losses: Floats, groups: Flags, target: Target) -> float:
    """Bound the worst group's expected loss at `target.confidence`, by inverting the p-value.

    The bound is at most `max_loss` where the p-value is at most 1 - confidence. Arguments are
    those of `p_value`.
    """
    bound = _binomial_bound if target.loss == "agreement" else _paired_bound
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
    hypothesis is rejected, with the probability that its p-value keeps: `confidence`
    (Learn-then-Test, Angelopoulos et al. 2021).
    """
    return noninferiority.proved(p_values, 1 - confidence)


def texts_needed(losses: Floats, target: Target) -> int | None:
    """Estimate how many texts with losses in these proportions would prove the target.

    Losses that are all 0 give the fewest. For accuracy it may be a quarter too many, by
    bisection. None if no number would do, or more than 300,000.
    """
    if target.loss == "agreement":
        texts = np.arange(1, _MOST_TEXTS)
        lost = np.ceil(losses.mean() * texts)
        proves = stats.binom.cdf(lost, texts, target.max_loss) <= 1 - target.confidence
        return int(texts[proves.argmax()]) if proves.any() else None
    better, worse, seen = _counts(losses)

    def is_proof(texts: int) -> bool:
        counts = (better * texts // seen, math.ceil(worse * texts / seen), texts)
        return noninferiority.p_value(*counts, target.max_loss) <= 1 - target.confidence

    needed = bisect.bisect_left(range(_MOST_TEXTS), True, lo=1, key=is_proof)
    return needed if needed < _MOST_TEXTS else None


def _p_value(losses: Floats, target: Target) -> float:
    if not losses.size:
        return 1.0
    if target.loss == "agreement":
        return float(stats.binom.cdf(losses.sum(), losses.size, target.max_loss))
    return noninferiority.p_value(*_counts(losses), target.max_loss)


def _refutation(losses: Floats, target: Target) -> float:
    if target.loss == "agreement":
        return float(stats.binom.sf(losses.sum() - 1, losses.size, target.max_loss))
    return noninferiority.inferiority_p_value(*_counts(losses), target.max_loss)


def _binomial_bound(losses: Floats, target: Target) -> float:
    """Clopper and Pearson (1934), one-sided."""
    lost = losses.sum()
    if lost == losses.size:
        return 1.0
    return float(stats.beta.ppf(target.confidence, lost + 1, losses.size - lost))


def _paired_bound(losses: Floats, target: Target) -> float:
    return noninferiority.largest_loss(*_counts(losses), target.confidence)


def _counts(losses: Floats) -> tuple[int, int, int]:
    """How many texts are answered better than by the reference, how many worse, and of how many."""
    return int((losses < 0).sum()), int((losses > 0).sum()), losses.size
