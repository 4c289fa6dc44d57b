"""Power laws of time against size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.analysis.power_law import fit_power_law

SIZES = np.array([2.3, 3.5, 5.0, 8.0, 12.2, 15.8, 19.0, 22.7]) * 1e6


@settings(deadline=None, max_examples=15)
@given(st.floats(0.0, 5.0), st.floats(0.5, 10.0), st.floats(0.3, 2.0))
def test_a_law_without_noise_is_found_again(t0, c, beta):
    unit = np.exp(np.log(SIZES).mean())
    times = t0 + c * (SIZES / unit) ** beta

    law = fit_power_law(SIZES, times)

    assert law.at(SIZES) == pytest.approx(times, rel=0.01)
    assert law.beta.value == pytest.approx(beta, abs=0.03)
    assert law.doubts == []


def test_the_interval_of_beta_holds_the_truth_about_19_times_in_20():
    random = np.random.default_rng(3)
    unit = np.exp(np.log(SIZES).mean())
    truth = 0.5 + 4.0 * (SIZES / unit) ** 1.0
    found = [fit_power_law(SIZES, truth * random.normal(1.0, 0.05, 8)).beta for _ in range(60)]
    covered = np.mean([each.low <= 1.0 <= each.high for each in found])
    assert covered >= 0.85


def test_a_constant_is_no_law_and_says_so():
    random = np.random.default_rng(0)
    law = fit_power_law(SIZES, random.normal(5.0, 0.2, 8))
    assert any("constant" in doubt for doubt in law.doubts)


def test_points_far_from_every_curve_are_no_law():
    law = fit_power_law(SIZES, [1.0, 9.0, 2.0, 20.0, 4.0, 60.0, 8.0, 90.0])
    assert any("scatter" in doubt for doubt in law.doubts)


def test_fewer_than_five_points_have_no_law():
    assert fit_power_law(SIZES[:4], [1.0, 2.0, 3.0, 4.0]) is None
    assert fit_power_law([], []) is None


def test_a_time_of_zero_is_refused():
    with pytest.raises(ValueError, match="positive"):
        fit_power_law(SIZES, np.zeros(8))
