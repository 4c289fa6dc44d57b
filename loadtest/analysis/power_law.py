"""Power laws of time against model size: t0 + c * size^beta, with intervals and doubts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from loadtest.analysis.statistics import Estimate

Floats = NDArray[np.float64]

_BETAS = np.round(np.arange(0.02, 3.001, 0.02), 2)
_MIN_POINTS = 5
_RESAMPLES = 1000
_MAX_SCATTER = 0.25  # beyond it the points do not follow the curve


@dataclass(frozen=True)
class PowerLaw:
    """t = t0 + c * (size / unit)^beta, where `unit` is the geometric mean of the sizes.

    `doubts` lists the reasons why the law does not hold; it holds if the list is empty. `scatter`
    is the root mean square of the points' relative distances from the curve.
    """

    points: int
    unit: float
    t0: Estimate
    c: Estimate
    beta: Estimate
    scatter: float
    doubts: list[str]

    def at(self, sizes: Floats) -> Floats:
        """Evaluate the curve at these sizes."""
        return self.t0.value + self.c.value * (sizes / self.unit) ** self.beta.value


def fit_power_law(sizes: Sequence[float], times: Sequence[float], seed: int = 0) -> PowerLaw | None:
    """Fit the best curve by relative least squares, with t0, c >= 0; None below 5 points.

    For each beta on a grid, t0 and c have a closed form; the best beta wins. The intervals are
    percentiles of 1,000 refits to the curve with its relative residuals resampled, inflated for
    the three parameters (Davison and Hinkley, Bootstrap Methods, 1997, section 6.2.3).
    A law is doubted if its beta is undetermined, if a constant fits the points as well (F-test,
    5 %), or if the points scatter by more than a quarter around the curve.
    Raise ValueError if a size or time is not positive.
    """
    x, y = np.asarray(sizes, np.float64), np.asarray(times, np.float64)
    if not (np.all(x > 0) and np.all(y > 0)):
        raise ValueError("sizes and times must be positive")
    if x.size < _MIN_POINTS:
        return None
    unit = float(np.exp(np.log(x).mean()))
    bases = (x / unit) ** _BETAS[:, None]
    t0, c, beta, rss = _best(bases, y[None, :])
    curve = t0[0] + c[0] * (x / unit) ** beta[0]
    residuals = (y - curve) / curve * np.sqrt(x.size / (x.size - 3))
    drawn = np.random.default_rng(seed).choice(residuals, (_RESAMPLES, x.size))
    again = _best(bases, np.maximum(curve * (1.0 + drawn), 1e-9))
    estimates = []
    for own, many in zip((t0, c, beta), again[:3], strict=True):
        low, high = (float(bound) for bound in np.quantile(many, (0.025, 0.975)))
        estimates.append(Estimate(float(own[0]), low, high))
    scatter = float(np.sqrt(rss[0] / x.size))
    doubts = _doubts(estimates[2], scatter, float(rss[0]), y)
    return PowerLaw(int(x.size), unit, estimates[0], estimates[1], estimates[2], scatter, doubts)


def _best(bases: Floats, times: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return t0, c, beta and the relative residual sum of squares, each of shape (samples,).

    `bases` has shape (betas, points), `times` (samples, points). With weights 1/t the model is
    linear for a given beta; a negative t0 or c is set to zero and the other is fitted alone.
    """
    w = 1.0 / times[:, None, :]
    b = bases[None, :, :] * w
    ww, wb, bb = (w * w).sum(-1), (w * b).sum(-1), (b * b).sum(-1)
    w1, b1 = w.sum(-1), b.sum(-1)
    determinant = ww * bb - wb * wb
    with np.errstate(divide="ignore", invalid="ignore"):
        t0 = np.where(determinant > 1e-12 * ww * bb, (w1 * bb - b1 * wb) / determinant, w1 / ww)
        c = np.where(determinant > 1e-12 * ww * bb, (b1 * ww - w1 * wb) / determinant, 0.0)
    t0, c = np.where(t0 < 0, 0.0, t0), np.where(t0 < 0, b1 / bb, c)
    t0, c = np.where(c < 0, w1 / ww, t0), np.where(c < 0, 0.0, c)
    residuals = 1.0 - t0[..., None] * w - c[..., None] * b
    rss = (residuals**2).sum(-1)
    best = rss.argmin(-1)
    rows = np.arange(times.shape[0])
    return t0[rows, best], c[rows, best], _BETAS[best], rss[rows, best]


def _doubts(beta: Estimate, scatter: float, rss: float, times: Floats) -> list[str]:
    doubts = []
    assert beta.low is not None, "a bootstrap interval always has bounds"
    assert beta.high is not None, "a bootstrap interval always has bounds"
    if beta.low <= _BETAS[0] or beta.high >= _BETAS[-1]:
        doubts.append(f"beta is undetermined: {beta.low:.2f} to {beta.high:.2f}")
    weights = 1.0 / times
    constant = weights.sum() / (weights**2).sum()
    constant_rss = float(((1.0 - constant * weights) ** 2).sum())
    freedom = times.size - 3
    if rss > 0:
        f = (constant_rss - rss) / 2.0 / (rss / freedom)
        if stats.f.sf(f, 2, freedom) > 0.05:
            doubts.append("a constant fits the points as well")
    if scatter > _MAX_SCATTER:
        doubts.append(f"the points scatter by {scatter:.0%} around the curve")
    return doubts
