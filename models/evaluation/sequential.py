"""Two rates compared as counts come in, valid whenever one looks. Pure.

For each arm, the likelihood of its counts under a mixture of rates over that at a rate p is a
martingale with mean 1 if p is the true rate (Robbins 1970, "Statistical methods related to the law
of the iterated logarithm"). So is the product of both arms at the true pair of rates, whatever
decides which arm counts next. By Ville's inequality it ever reaches 1 / alpha with a probability of
at most alpha. The pairs at which it has not are therefore a confidence sequence (Howard, Ramdas,
McAuliffe and Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences", whose
mixture, a beta distribution around p, this is), and so are their differences. For other e-values of
two proportions see Turner, Ly and Gruenwald 2024, "Generic E-variables for exact sequential
k-sample tests that allow for optional stopping".

So for any number of looks, chosen in any way, with the interval of a `confidence`:
- a canary that is not worse ever has a `high` below 0 with at most 1 - confidence;
- one that is worse by a margin or more ever has a `low` above -margin with at most 1 - confidence.

Assumed: each arm is right at a rate of its own that stays the same, independently from text to
text, and whether a text gets feedback depends neither on the arm nor on what is still to come.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, xlog1py, xlogy

from models.evaluation.statistics import Floats
from serving.bundles.evaluation import Estimate
from serving.bundles.files import Count, Frozen

_Numbers = npt.NDArray[np.integer | np.floating]
_CONCENTRATIONS = (10.0, 200.0, 4000.0)
"""Of the mixture's beta distributions, in answers: each is at its best for about as many."""
_SMALLEST_RATE = 1e-12
_GOLDEN = (5**0.5 - 1) / 2
_GOLDEN_STEPS, _HALVINGS = 32, 26


class Counts(Frozen):
    """How many answers were right and wrong."""

    right: Count = 0
    """Right answers."""
    wrong: Count = 0
    """Wrong answers."""

    @property
    def n(self) -> int:
        """All answers."""
        return self.right + self.wrong

    @property
    def rate(self) -> float:
        """The share that was right; without any answer the middle of what it can be."""
        return self.right / self.n if self.n else 0.5


def difference(canary: Counts, live: Counts, confidence: float = 0.95) -> Estimate:
    """Return the canary's rate minus the live one's, with the interval of `confidence`.

    Raises ValueError unless the confidence is between 0 and 1.
    """
    return estimates([(canary, live)], confidence)[0]


def estimates(pairs: Sequence[tuple[Counts, Counts]], confidence: float = 0.95) -> list[Estimate]:
    """Return the `difference` of each pair of canary and live, in hardly more time than of one."""
    counts = np.array([[[each.right, each.wrong] for each in pair] for pair in pairs])
    ends = zip(*differences(counts[:, 0], counts[:, 1], confidence), strict=True)
    found = []
    for (canary, live), (low, high) in zip(pairs, ends, strict=True):
        value = canary.rate - live.rate
        found.append(
            Estimate(value=value, low=min(float(low), value), high=max(float(high), value))
        )
    return found


def differences(
    canary: _Numbers, live: _Numbers, confidence: float = 0.95
) -> tuple[Floats, Floats]:
    """Return the ends of many intervals, each of shape (...), from counts of shape (..., 2).

    The two are the right and the wrong answers. Raises ValueError unless the confidence is between
    0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence is {confidence}: it has to be between 0 and 1")
    enough = -np.log1p(-confidence)
    return _lowest(canary, live, enough), -_lowest(live, canary, enough)


def evidence(counts: _Numbers, rates: Floats | float) -> Floats:
    """Return the logarithm of the evidence against rates, (...), from counts of shape (..., 2)."""
    right, wrong = np.moveaxis(counts, -1, 0)
    rates = np.clip(rates, _SMALLEST_RATE, 1 - _SMALLEST_RATE)
    mixed = [
        betaln(right + of * rates, wrong + of * (1 - rates)) - betaln(of * rates, of * (1 - rates))
        for of in _CONCENTRATIONS
    ]
    mean = np.logaddexp.reduce(mixed) - np.log(len(mixed))
    return np.asarray(mean - xlogy(right, rates) - xlog1py(wrong, -rates))


def evidence_against(canary: _Numbers, live: _Numbers, apart: Floats | float) -> Floats:
    """Return the logarithm of the evidence against a difference of `apart`, of shape (...).

    It is the least against any pair of rates that differ by it, found by golden-section search: the
    evidence against a rate is a convex function of it, and so is its logarithm.
    """
    apart = np.broadcast_to(apart, np.broadcast_shapes(canary.shape, live.shape)[:-1])

    def total(rate: Floats) -> Floats:
        return evidence(canary, rate + apart) + evidence(live, rate)

    start, end = np.maximum(0, -apart), np.minimum(1, 1 - apart)
    first, second = end - _GOLDEN * (end - start), start + _GOLDEN * (end - start)
    at_first, at_second = total(first), total(second)
    for _ in range(_GOLDEN_STEPS):
        left = at_first < at_second
        start, end = np.where(left, start, first), np.where(left, second, end)
        new = np.where(left, end - _GOLDEN * (end - start), start + _GOLDEN * (end - start))
        at_new = total(new)
        first, second = np.where(left, new, second), np.where(left, first, new)
        at_first, at_second = np.where(left, at_new, at_second), np.where(left, at_first, at_new)
    return np.asarray(np.minimum(at_first, at_second))


def _lowest(one: _Numbers, other: _Numbers, enough: float) -> Floats:
    """Return the lowest difference, `one` minus `other`, without `enough` evidence against it."""
    observed = _rates(one) - _rates(other)
    below, above = np.full_like(observed, -1.0), observed
    for _ in range(_HALVINGS):
        middle = (below + above) / 2
        excluded = evidence_against(one, other, middle) >= enough
        below, above = np.where(excluded, middle, below), np.where(excluded, above, middle)
    return np.where(evidence_against(one, other, -1.0) >= enough, below, -1.0)


def _rates(counts: _Numbers) -> Floats:
    n = counts.sum(axis=-1)
    return np.where(n, counts[..., 0] / np.maximum(n, 1), 0.5)
