import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from models.reports.power_law import Point, fitted, nearest

SIZES = np.geomspace(1e6, 1e8, 10)
MIDDLE = 1e7


def points(values, error=0.002, sizes=SIZES):
    noise = np.random.default_rng(3).normal(size=len(sizes))
    return [
        Point(size, value + error * step, error)
        for size, value, step in zip(sizes, values, noise, strict=True)
    ]


def law(a, c, alpha, sizes=SIZES):
    return a + c * (sizes / MIDDLE) ** -alpha


@settings(max_examples=5)
@given(st.floats(0.02, 0.2), st.floats(0.3, 1.0))
def test_a_power_law_is_recovered_within_its_intervals(a, alpha):
    fit = fitted(points(law(a, 0.08, alpha)))

    assert fit.doubts == ()
    assert fit.intervals["alpha"][0] - 0.1 <= alpha <= fit.intervals["alpha"][1] + 0.1
    assert fit.intervals["a"][0] - 0.01 <= a <= fit.intervals["a"][1] + 0.01
    low, high = fit.band(SIZES)
    assert (low <= high).all()


@given(st.floats(0, 0.2), st.floats(0.01, 0.2), st.floats(0.1, 1.5))
def test_no_law_that_scipy_finds_is_nearer_to_the_points(a, c, alpha):
    measured = points(law(a, c, alpha), error=0.01)
    values = np.array([point.value for point in measured])

    best = optimize.least_squares(
        lambda p: law(*p) - values,
        (a + 1e-3, c, alpha),
        bounds=((0, 0, 0.01), (np.inf, np.inf, 5)),
    )

    mine = ((nearest(measured).at(SIZES) - values) ** 2).sum()
    assert mine <= 1.01 * 2 * best.cost + 1e-9


@given(st.floats(1e-3, 1e3), st.floats(0.1, 10))
def test_units_of_size_and_value_do_not_matter(size_unit, value_unit):
    measured = points(law(0.1, 0.05, 0.6))
    scaled = [
        Point(p.size * size_unit, p.value * value_unit, p.standard_error * value_unit)
        for p in measured
    ]

    one, other = nearest(measured), nearest(scaled)

    assert other.alpha == pytest.approx(one.alpha)
    assert other.a == pytest.approx(value_unit * one.a)
    assert other.c == pytest.approx(value_unit * one.c)


def test_of_many_repeats_nearly_all_intervals_hold_the_true_alpha():
    generator = np.random.default_rng(5)
    held = 0
    for _ in range(20):
        values = law(0.1, 0.04, 0.6) + 0.004 * generator.normal(size=len(SIZES))
        fit = fitted([Point(s, v, 0.004) for s, v in zip(SIZES, values, strict=True)])
        held += fit.intervals["alpha"][0] <= 0.6 <= fit.intervals["alpha"][1]

    assert held >= 17


def test_a_constant_is_no_power_law():
    fit = fitted(points(np.full(10, 0.2)))

    assert any("constant" in doubt for doubt in fit.doubts)


def test_a_line_in_the_logarithm_is_no_power_law():
    fit = fitted(points(0.2 - 0.03 * np.log(SIZES / MIDDLE)))

    assert fit.aicc["line"] < fit.aicc["power law"] < fit.aicc["constant"]
    assert any("line in log(size)" in doubt for doubt in fit.doubts)


def test_four_sizes_are_too_few():
    fit = fitted(points(law(0.1, 0.1, 0.5, SIZES[:4]), sizes=SIZES[:4]))

    assert any("4 sizes" in doubt for doubt in fit.doubts)
    assert fit.aicc == {}


def test_two_variants_are_no_curve():
    with pytest.raises(ValueError, match="three"):
        fitted(points([0.1, 0.2], sizes=SIZES[:2]))


def test_variants_of_one_size_have_no_curve():
    points = [Point(100.0, value, 0.01) for value in (0.1, 0.2, 0.15)]

    with pytest.raises(ValueError, match="different sizes"):
        fitted(points)
