"""Fits a power law of error or loss against size, with intervals. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_RESAMPLES = 1000
_SEED = 0
_CONFIDENCE = 0.95
FEWEST_POINTS = 3
_FEWEST_SIZES = 5
_ALPHAS = np.geomspace(0.01, 5.0, 500)
_REFINEMENT = np.linspace(0.98, 1.02, 401)
_WORTHWHILE_AICC = 2.0


@dataclass(frozen=True)
class Point:
    """A measured error or loss at a size, with its standard error (> 0)."""

    size: float
    value: float
    standard_error: float


@dataclass(frozen=True)
class PowerLaw:
    """value = a + c * (size / reference)^-alpha; `reference` is the geometric mean of the sizes."""

    a: float
    c: float
    alpha: float
    reference: float

    def at(self, sizes: Floats) -> Floats:
        """Predict the values at `sizes`."""
        return np.asarray(self.a + self.c * (sizes / self.reference) ** -self.alpha)


@dataclass(frozen=True)
class Fit:
    """The best power law, its bootstrap draws, 95 % intervals, and reasons to doubt it.

    `aicc` has Akaike's corrected criterion of "power law", "line" (in the size's logarithm) and
    "constant"; lower is better. It is empty when there are too few points to compare them.
    `doubts` is empty when the points support the law.
    """

    law: PowerLaw
    draws: tuple[PowerLaw, ...]
    intervals: dict[str, tuple[float, float]]
    aicc: dict[str, float]
    doubts: tuple[str, ...]

    def band(self, sizes: Floats) -> tuple[Floats, Floats]:
        """Return the lower and upper edge of the curve's 95 % bootstrap band at `sizes`."""
        curves = np.stack([draw.at(sizes) for draw in self.draws])
        tail = (1 - _CONFIDENCE) / 2
        low, high = np.quantile(curves, (tail, 1 - tail), axis=0)
        return low, high


def have_sizes(points: Sequence[Point]) -> bool:
    """Whether the sizes differ, as those of one model's number formats do not in parameters."""
    return len({point.size for point in points}) > 1


def fitted(points: Sequence[Point]) -> Fit:
    """Fit by weighted least squares with a >= 0, c >= 0, 0.01 <= alpha <= 5; parametric bootstrap.

    The points support a power law when there are at least five sizes, alpha's interval lies within
    its range, and the law's AICc (Hurvich and Tsai 1989) is at least 2 lower than a constant's and
    no higher than that of a line in the size's logarithm.
    Raises ValueError with fewer than three points, or all of one size.
    """
    if len(points) < FEWEST_POINTS:
        raise ValueError(f"a curve needs at least three variants, not {len(points)}")
    if not have_sizes(points):
        raise ValueError("a curve needs variants of different sizes")
    sizes, values, errors = _columns(points)
    law = nearest(points)
    expected = law.at(sizes)
    # The measurements' own spread, widened if the points scatter more than it explains.
    scatter = math.sqrt(_chi_square(expected, values, errors) / max(1, len(points) - 3))
    spread = errors * max(1.0, scatter)
    noise = np.random.default_rng(_SEED).normal(size=(_RESAMPLES, len(points)))
    draws = tuple(_best(sizes, expected + spread * noise, errors, _ALPHAS))
    tail = (1 - _CONFIDENCE) / 2
    intervals = {}
    for name in ("a", "c", "alpha"):
        low, high = np.quantile([getattr(draw, name) for draw in draws], (tail, 1 - tail))
        value = getattr(law, name)
        intervals[name] = (min(float(low), value), max(float(high), value))
    rivals = {
        "power law": (expected, 3),
        "line": (_polynomial(sizes, values, spread, 1), 2),
        "constant": (_polynomial(sizes, values, spread, 0), 1),
    }
    aicc = {
        name: _aicc(curve, values, spread, parameters)
        for name, (curve, parameters) in rivals.items()
        if len(points) >= _FEWEST_SIZES
    }
    doubts = _doubts(len(set(sizes.tolist())), intervals["alpha"], aicc)
    return Fit(law, draws, intervals, aicc, tuple(doubts))


def nearest(points: Sequence[Point]) -> PowerLaw:
    """Return the law with the least weighted squares, its alpha to four digits."""
    sizes, values, errors = _columns(points)
    (rough,) = _best(sizes, values[None], errors, _ALPHAS)
    near = np.clip(rough.alpha * _REFINEMENT, _ALPHAS[0], _ALPHAS[-1])
    (law,) = _best(sizes, values[None], errors, near)
    return law


def _columns(points: Sequence[Point]) -> tuple[Floats, Floats, Floats]:
    rows = [(point.size, point.value, point.standard_error) for point in points]
    sizes, values, errors = np.array(rows).T
    return sizes, values, errors


def _best(sizes: Floats, values: Floats, errors: Floats, alphas: Floats) -> list[PowerLaw]:
    """The law for each row of `values`, of shape (fits, points).

    For a given alpha the law is linear in a and c, so the best of many alphas is the best law.
    """
    reference = float(np.exp(np.log(sizes).mean()))
    weights = errors**-2 / (errors**-2).sum()
    powers = (sizes / reference) ** -alphas[:, None]
    mean_power = powers @ weights
    mean_square = powers**2 @ weights
    mean_value = (values @ weights)[:, None]
    mean_product = values @ (weights * powers).T
    covariance = mean_product - mean_value * mean_power
    c = np.maximum(0.0, covariance / (mean_square - mean_power**2))
    a = mean_value - c * mean_power
    c = np.where(a < 0, np.maximum(0.0, mean_product / mean_square), c)
    a = np.maximum(0.0, a)
    # The weighted squared residuals, without the values' mean square, which no law changes.
    cost = (
        a**2
        + c**2 * mean_square
        + 2 * a * c * mean_power
        - 2 * a * mean_value
        - 2 * c * mean_product
    )
    chosen = cost.argmin(axis=1)
    return [
        PowerLaw(float(a[row, column]), float(c[row, column]), float(alphas[column]), reference)
        for row, column in enumerate(chosen)
    ]


def _polynomial(sizes: Floats, values: Floats, errors: Floats, degree: int) -> Floats:
    """The best polynomial in the logarithm of the size, at the sizes."""
    logarithms = np.log(sizes / sizes.mean())
    return np.polyval(np.polyfit(logarithms, values, degree, w=1 / errors), logarithms)


def _doubts(sizes: int, alpha: tuple[float, float], aicc: dict[str, float]) -> list[str]:
    doubts = []
    if sizes < _FEWEST_SIZES:
        doubts.append(f"{sizes} sizes are too few for a power law, which needs {_FEWEST_SIZES}")
    if alpha[0] <= _ALPHAS[0] or alpha[1] >= _ALPHAS[-1]:
        doubts.append(f"alpha is not determined: 95 % interval {alpha[0]:.2f} to {alpha[1]:.2f}")
    if aicc:
        law, constant, line = (aicc[name] for name in ("power law", "constant", "line"))
        if constant - law < _WORTHWHILE_AICC:
            doubts.append(
                f"a constant fits the points as well (AICc {constant:.1f}, the law {law:.1f})"
            )
        if line < law:
            doubts.append(
                f"a line in log(size) fits them better (AICc {line:.1f}, the law {law:.1f})"
            )
    return doubts


def _chi_square(expected: Floats, values: Floats, errors: Floats) -> float:
    return float((((values - expected) / errors) ** 2).sum())


def _aicc(expected: Floats, values: Floats, errors: Floats, parameters: int) -> float:
    """Akaike's criterion for normal errors of known size, corrected for few points."""
    correction = 2 * parameters * (parameters + 1) / (len(values) - parameters - 1)
    return _chi_square(expected, values, errors) + 2 * parameters + correction
