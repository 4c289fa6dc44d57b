"""Non-inferiority: what paired answers prove about how much accuracy a variant loses. Pure.

McNemar's test asks whether two variants differ at all; finding no difference proves nothing. Here
the hypothesis is that the loss exceeds a margin, and rejecting it is the proof that it does not.
"""

import itertools
import math
from collections.abc import Iterable

from scipy import optimize, stats

_CONFIDENCE = 0.95


def p_value(better: int, worse: int, texts: int, margin: float) -> float:
    """Test the hypothesis that a variant's accuracy is lower than another's by `margin` or more.

    `better` of the same `texts`, at least one, only this variant gets right, `worse` only the
    other; `margin` is above 0 and below 1. This is Tango's score test (1998), and never less than
    the exact binomial test's p-value of as many losses and no gains as the difference, because
    where few answers differ the score test alone proves too much. It is approximate: over all
    outcomes, a loss of the margin has p <= 0.05 in at most 5.3 % for 40 texts and more, and in
    6.4 % for 10 and margins of 0.3.
    """
    if (worse - better) / texts >= margin:
        return 1.0
    exact = stats.binom.cdf(max(0, worse - better), texts, margin)
    return max(float(stats.norm.cdf(_score(better, worse, texts, margin))), float(exact))


def inferiority_p_value(better: int, worse: int, texts: int, margin: float) -> float:
    """Test the opposite: that accuracy is lower by no more than `margin`.

    Arguments and method are those of `p_value`, with the binomial test's other tail. A loss of the
    margin has p <= 0.05 in up to 5.6 % for 1,000 texts and more, in 7.3 % for few.
    """
    if (worse - better) / texts <= margin:
        return 1.0
    exact = stats.binom.sf(worse - better - 1, texts, margin)
    return max(float(stats.norm.sf(_score(better, worse, texts, margin))), float(exact))


def _score(better: int, worse: int, texts: int, margin: float) -> float:
    """How many standard errors the loss is above the margin, if the true loss is the margin."""
    # Tango's restricted maximum likelihood estimate of the share that only the other gets right.
    b = -better - worse - (2 * texts - better + worse) * margin
    c = worse * margin * (margin + 1)
    share = (math.sqrt(max(0.0, b * b - 8 * texts * c)) - b) / (4 * texts)
    variance = texts * (2 * share - margin * (margin + 1))
    return (worse - better - texts * margin) / math.sqrt(variance)


def largest_loss(better: int, worse: int, texts: int, confidence: float = _CONFIDENCE) -> float:
    """Return the upper bound of the loss of accuracy: the least margin that is proved."""
    if worse == texts:
        return 1.0

    def excess(margin: float) -> float:
        return p_value(better, worse, texts, margin) - (1 - confidence)

    observed = max(0.0, (worse - better) / texts)
    if excess(observed + 1e-9) <= 0:
        return observed
    if excess(1 - 1e-9) > 0:
        return 1.0
    return float(optimize.brentq(excess, observed + 1e-9, 1 - 1e-9))


def proved(bounds: Iterable[float], margin: float) -> int:
    """Count the bounds, or p-values, within the margin before the first that exceeds it.

    None is taken after that one.

    This is fixed-sequence testing: if the order does not depend on the texts, all bounds that
    count hold together with the confidence of one, however many there are.
    """
    return sum(1 for _ in itertools.takewhile(lambda bound: bound <= margin, bounds))


def texts_needed(margin: float) -> int:
    """Return how many texts prove `margin` if not a single one is lost."""
    return math.ceil(math.log(1 - _CONFIDENCE) / math.log1p(-margin))
