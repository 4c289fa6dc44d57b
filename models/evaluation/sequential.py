"""Two rates compared as counts come in, valid whenever one looks. Pure.

For each arm, the likelihood of its counts under Jeffreys' prior over that at a rate p is a
martingale with mean 1 if p is the true rate (Robbins 1970, "Statistical methods related to the law
of the iterated logarithm"). So is the product of both arms at the true pair of rates, whatever
decides which arm counts next (for e-values of two proportions see Turner, Ly and Gruenwald 2024,
"Generic E-variables for exact sequential k-sample tests that allow for optional stopping"). By
Ville's inequality it ever reaches 1 / alpha with a probability of at most alpha. The pairs at which
it has not are therefore a confidence sequence (Howard, Ramdas, McAuliffe and Sekhon 2021,
"Time-uniform, nonparametric, nonasymptotic confidence sequences"), and so are their differences.

So for any number of looks, chosen in any way, with the interval of a `confidence`:
- a canary that is not worse ever has a `high` below 0 with at most 1 - confidence;
- one that is worse by a margin or more ever has a `low` above -margin with at most 1 - confidence.

Assumed: each arm is right at a rate of its own that stays the same, independently from text to
text, and whether a text gets feedback depends neither on the arm nor on the future.
"""

import numpy as np
from scipy.special import betaln, xlog1py, xlogy

from models.evaluation.statistics import Floats
from serving.bundles.evaluation import Estimate
from serving.bundles.files import Count, Frozen

_PRIOR = 0.5
_LOWEST, _HIGHEST = -30.0, 90.0
_HALVINGS = 60


class Counts(Frozen):
    """How many answers were right and wrong."""

    right: Count = 0
    """Right answers."""
    wrong: Count = 0
    """Wrong answers."""

    @property
    def rate(self) -> float:
        """The share that was right; without any answer the middle of what it can be."""
        n = self.right + self.wrong
        return self.right / n if n else 0.5


def difference(canary: Counts, live: Counts, confidence: float = 0.95) -> Estimate:
    """Return the canary's rate minus the live one's, with the interval of `confidence`.

    Raises ValueError unless the confidence is between 0 and 1.
    """
    value = canary.rate - live.rate
    low, high = differences(
        np.array([canary.right, canary.wrong]), np.array([live.right, live.wrong]), confidence
    )
    return Estimate(value=value, low=min(float(low), value), high=max(float(high), value))


def differences(canary: Floats, live: Floats, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Return the ends of many intervals, each of shape (...), from counts of shape (..., 2).

    The two are the right and the wrong answers. Raises ValueError unless the confidence is between
    0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence is {confidence}: it has to be between 0 and 1")
    least = -np.log1p(-confidence)
    return _least(canary, live, least), -_least(live, canary, least)


def log_evidence(counts: Floats, rates: Floats | float) -> Floats:
    """Return the logarithm of the evidence against rates, (...), from counts of shape (..., 2)."""
    right, wrong = np.moveaxis(counts, -1, 0)
    mixed = betaln(right + _PRIOR, wrong + _PRIOR) - betaln(_PRIOR, _PRIOR)
    return np.asarray(mixed - xlogy(right, rates) - xlog1py(wrong, -np.asarray(rates)))


def _least(one: Floats, other: Floats, least: float) -> Floats:
    """Return the smallest rate of `one` minus that of `other` with less evidence than `least`.

    By Lagrange, at the smallest difference the evidence grows equally fast in both rates, by a
    slope that fixes them both; the larger the slope, the more evidence.
    """
    below = np.full(np.broadcast_shapes(one.shape, other.shape)[:-1], _LOWEST)
    above = np.full_like(below, _HIGHEST)
    mirrored = other[..., ::-1]
    for _ in range(_HALVINGS):
        middle = (below + above) / 2
        slope = np.exp(middle)
        evidence = log_evidence(one, _rate_below(one, slope))
        evidence += log_evidence(mirrored, _rate_below(mirrored, slope))
        below = np.where(evidence < least, middle, below)
        above = np.where(evidence < least, above, middle)
    slope = np.exp(above)
    return _rate_below(one, slope) - (1 - _rate_below(mirrored, slope))


def _rate_below(counts: Floats, slope: Floats) -> Floats:
    """Return where, below the observed rate, the evidence falls by `slope` as the rate rises.

    It solves wrong / (1 - p) - right / p = -slope.
    """
    right, wrong = np.moveaxis(counts, -1, 0)
    n = right + wrong
    root = np.sqrt((n - slope) ** 2 + 4 * slope * wrong)
    return np.asarray(2 * right / (n + slope + root))
