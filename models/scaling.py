"""The power law of a family: error against size, fitted with intervals. Pure.

It does not know what the sizes are sizes of, nor how a curve is drawn.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize

Floats = npt.NDArray[np.float64]

_RESAMPLES = 500
_SEED = 0
_CONFIDENCE = 0.95
_FEWEST_POINTS = 5
_LARGEST_ALPHA = 5.0
_WORTHWHILE_AICC = 2.0
_SMALLEST = 1e-9


@dataclass(frozen=True)
class Point:
    """A measured error or loss at a size, with its standard error (> 0)."""

    size: float
    value: float
    standard_error: float


@dataclass(frozen=True)
class PowerLaw:
    """value = a + c * (size / reference)^-alpha; `reference` is the points' geometric mean size."""

    a: float
    c: float
    alpha: float
    reference: float

    def at(self, sizes: Floats) -> Floats:
        """Predicted values, of the same shape."""
        return np.asarray(self.a + self.c * (sizes / self.reference) ** -self.alpha)


@dataclass(frozen=True)
class Fit:
    """The best power law, its bootstrap draws, 95 % intervals, and why not to believe it.

    `doubts` is empty when the points support the law.
    """

    law: PowerLaw
    draws: tuple[PowerLaw, ...]
    intervals: dict[str, tuple[float, float]]
    doubts: tuple[str, ...]

    def band(self, sizes: Floats) -> tuple[Floats, Floats]:
        """The 95 % band of the curve at `sizes`, by the bootstrap."""
        curves = np.stack([draw.at(sizes) for draw in self.draws])
        tail = (1 - _CONFIDENCE) / 2
        low, high = np.quantile(curves, (tail, 1 - tail), axis=0)
        return low, high


def fitted(points: Sequence[Point]) -> Fit:
    """Weighted least squares with a >= 0, c >= 0, 0 <= alpha <= 5; parametric bootstrap.

    The points support a power law when there are at least five sizes, alpha's interval lies within
    (0, 5), and its AICc (Hurvich and Tsai 1989) is lower by 2 than that of a constant.
    Raises ValueError with fewer than three points.
    """
    if len(points) < 3:
        raise ValueError(f"a curve needs at least three variants, not {len(points)}")
    sizes = np.array([point.size for point in points])
    values = np.array([point.value for point in points])
    errors = np.array([point.standard_error for point in points])
    law = _best(sizes, values, errors, _starts(values))
    generator = np.random.default_rng(_SEED)
    expected = law.at(sizes)
    # The spread that measurement alone explains, or more where the points scatter more.
    scatter = math.sqrt(_chi_square(expected, values, errors) / max(1, len(points) - 3))
    spread = errors * max(1.0, scatter)
    draws = tuple(
        _best(sizes, expected + spread * generator.normal(size=len(points)), errors, [law])
        for _ in range(_RESAMPLES)
    )
    tail = (1 - _CONFIDENCE) / 2
    intervals = {}
    for name in ("a", "c", "alpha"):
        low, high = np.quantile([getattr(draw, name) for draw in draws], (tail, 1 - tail))
        value = getattr(law, name)
        intervals[name] = (min(float(low), value), max(float(high), value))
    return Fit(law, draws, intervals, tuple(_doubts(sizes, values, spread, law, intervals)))


def _starts(values: Floats) -> list[PowerLaw]:
    lowest, middle = max(0.0, float(values.min())), float(np.median(values))
    return [
        PowerLaw(share * lowest, max(_SMALLEST, middle - share * lowest), alpha, 1.0)
        for share in (0.1, 0.9)
        for alpha in (0.2, 1.0)
    ]


def _best(sizes: Floats, values: Floats, errors: Floats, starts: Sequence[PowerLaw]) -> PowerLaw:
    reference = float(np.exp(np.log(sizes).mean()))
    ratio = sizes / reference

    def residuals(parameters: Floats) -> Floats:
        a, c, alpha = parameters
        return np.asarray((a + c * ratio**-alpha - values) / errors)

    inside = _LARGEST_ALPHA - _SMALLEST
    found = min(
        (
            optimize.least_squares(
                residuals,
                (start.a, max(_SMALLEST, start.c), min(start.alpha, inside)),
                bounds=((0, 0, 0), (np.inf, np.inf, _LARGEST_ALPHA)),
                x_scale=(0.1, 0.1, 1.0),
            )
            for start in starts
        ),
        key=lambda result: result.cost,
    )
    a, c, alpha = (float(parameter) for parameter in found.x)
    return PowerLaw(a, c, alpha, reference)


def _doubts(
    sizes: Floats,
    values: Floats,
    spread: Floats,
    law: PowerLaw,
    intervals: dict[str, tuple[float, float]],
) -> list[str]:
    doubts = []
    different = len(set(sizes.tolist()))
    if different < _FEWEST_POINTS:
        doubts.append(f"{different} sizes cannot tell a power law: at least {_FEWEST_POINTS} can")
    low, high = intervals["alpha"]
    if low <= 1e-3 or high >= _LARGEST_ALPHA * (1 - 1e-3):
        doubts.append(f"alpha is not determined: 95 % interval {low:.2f} to {high:.2f}")
    mean = np.full_like(values, np.average(values, weights=spread**-2))
    gain = _aicc(mean, values, spread, 1) - _aicc(law.at(sizes), values, spread, 3)
    if gain < _WORTHWHILE_AICC:
        doubts.append(f"a constant explains the points as well (AICc better by only {gain:.1f})")
    return doubts


def _chi_square(expected: Floats, values: Floats, errors: Floats) -> float:
    return float((((values - expected) / errors) ** 2).sum())


def _aicc(expected: Floats, values: Floats, errors: Floats, parameters: int) -> float:
    """Akaike's criterion for normal errors of known size, corrected for few points."""
    points = len(values)
    room = points - parameters - 1
    correction = 2 * parameters * (parameters + 1) / room if room > 0 else math.inf
    return _chi_square(expected, values, errors) + 2 * parameters + correction
