"""What a comparison of two reports finds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from loadtest.analysis.compare import _welch, compare
from tests.support.reports import report


def verdicts(before, after):
    return {change.verdict for change in compare(before, after)}


@pytest.mark.parametrize("seed", range(10))
def test_two_runs_of_the_same_server_are_no_change(seed):
    assert verdicts(report(seed=2 * seed), report(seed=2 * seed + 1)) == {"none"}


def test_a_server_that_is_slower_by_15_percent_is_caught_under_every_load():
    before, after = (
        each | {"alternation": "one"} for each in (report(seed=1), report(seed=2, scale=1.15))
    )
    changes = compare(before, after)
    judged = {change.verdict for change in changes if change.figure in {"p50, ms", "achieved/s"}}
    assert judged == {"worse"}
    assert all(change.ratio > 1.0 for change in changes if change.figure == "p50, ms")
    assert all(change.ratio < 1.0 for change in changes if change.figure == "achieved/s")


def test_a_faster_server_is_better_and_not_a_regression():
    assert "worse" not in verdicts(report(seed=1), report(seed=2, scale=0.7))
    assert "better" in verdicts(report(seed=1), report(seed=2, scale=0.7))


def test_a_difference_too_small_to_matter_is_none_however_sure():
    assert verdicts(report(noise=1e-4), report(noise=1e-4, scale=1.03)) == {"none"}


def test_noise_hides_what_it_hides():
    assert verdicts(report(noise=0.3, seed=1), report(noise=0.3, seed=2, scale=1.05)) == {"none"}


def test_a_load_that_only_one_report_has_is_unknown():
    after = report()
    del after["variants"][0]["loads"]["open-80%"]
    unknown = {change.load for change in compare(report(), after) if change.verdict == "unknown"}
    assert unknown == {"open-80%"}


@given(
    st.lists(st.floats(-5, 5), min_size=2, max_size=8, unique_by=lambda value: round(value, 3)),
    st.lists(st.floats(-5, 5), min_size=2, max_size=8, unique_by=lambda value: round(value, 3)),
)
def test_the_p_value_is_scipys(a, b):
    expected = stats.ttest_ind(a, b, equal_var=False).pvalue
    assert _welch(np.array(a), np.array(b)) == pytest.approx(expected, abs=1e-9)
