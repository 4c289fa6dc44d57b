import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.scaling import Point, fitted

SIZES = np.geomspace(1e6, 1e8, 10)


def points(values, error=0.002, sizes=SIZES):
    noise = np.random.default_rng(3).normal(size=len(sizes))
    return [
        Point(size, value + error * step, error)
        for size, value, step in zip(sizes, values, noise, strict=True)
    ]


@settings(deadline=None, max_examples=5)
@given(st.floats(0.02, 0.2), st.floats(0.3, 1.0))
def test_a_power_law_is_recovered_within_its_intervals(a, alpha):
    middle = np.exp(np.log(SIZES).mean())

    fit = fitted(points(a + 0.08 * (SIZES / middle) ** -alpha))

    assert fit.doubts == ()
    assert fit.intervals["alpha"][0] - 0.1 <= alpha <= fit.intervals["alpha"][1] + 0.1
    assert fit.intervals["a"][0] - 0.01 <= a <= fit.intervals["a"][1] + 0.01
    low, high = fit.band(SIZES)
    assert (low <= high).all()


def test_a_constant_is_no_power_law():
    fit = fitted(points(np.full(10, 0.2)))

    assert any("constant" in doubt for doubt in fit.doubts)


def test_four_sizes_are_too_few():
    sizes = SIZES[:4]

    fit = fitted(points(0.1 + 0.1 * (sizes / sizes[0]) ** -0.5, sizes=sizes))

    assert any("4 sizes" in doubt for doubt in fit.doubts)


def test_two_variants_are_no_curve():
    with pytest.raises(ValueError, match="three"):
        fitted(points([0.1, 0.2], sizes=SIZES[:2]))
