"""Two rates compared at any time: known values, and errors as rare as promised."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from models.evaluation.sequential import Counts, difference, differences, evidence
from tests.support.feedback_streams import (
    CANARY,
    LIVE,
    MARGIN,
    PROMOTE,
    WITHDRAW,
    counts_of,
    decided,
    errors,
    errors_of_z,
)

COUNTS = st.builds(Counts, right=st.integers(0, 3000), wrong=st.integers(0, 3000))
ENOUGH = math.log(20)


def array(counts):
    return np.array([counts.right, counts.wrong])


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.97])
def test_evidence_against_the_true_rate_has_a_mean_of_one_at_every_time(rate):
    for answers in (1, 7, 300):
        right = np.arange(answers + 1)
        found = evidence(np.stack([right, answers - right], axis=-1), rate)

        mean = np.exp(stats.binom.logpmf(right, answers, rate) + found).sum()
        assert mean == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("canary", "live"),
    [((85, 15), (850, 150)), ((40, 60), (900, 100)), ((100, 0), (1000, 0)), ((0, 30), (200, 5))],
)
def test_the_interval_is_that_of_all_pairs_of_rates_on_a_grid(canary, live):
    rates = np.linspace(0, 1, 2001)
    one, other = evidence(np.array(canary), rates), evidence(np.array(live), rates)
    apart = (rates[:, None] - rates)[one[:, None] + other < ENOUGH]

    found = difference(*(Counts(right=each[0], wrong=each[1]) for each in (canary, live)))

    assert (found.low, found.high) == pytest.approx((apart.min(), apart.max()), abs=1.5e-3)
    assert found.low <= apart.min() + 1e-6
    assert found.high >= apart.max() - 1e-6


@given(COUNTS, COUNTS)
def test_evidence_against_a_rate_is_a_convex_function_of_it(one, other):
    rates = np.linspace(0.01, 0.99, 99)
    for counts in (one, other):
        assert np.diff(evidence(array(counts), rates), 2).min() > -1e-6


def test_every_interval_holds_the_observed_difference_and_turns_with_its_arms():
    counts = np.random.default_rng(0).integers(0, 2000, (2, 80, 2))
    counts[:, :20] //= 100
    low, high = differences(counts[CANARY], counts[LIVE])
    turned = differences(counts[LIVE], counts[CANARY])

    rates = [Counts(right=r, wrong=w).rate for r, w in counts.reshape(-1, 2).tolist()]
    observed = np.subtract(*np.reshape(rates, (2, 80)))
    assert (low >= -1).all()
    assert (low <= observed).all()
    assert (observed <= high).all()
    assert (high <= 1).all()
    np.testing.assert_allclose(turned, (-high, -low), atol=1e-6)


def test_more_feedback_of_the_same_rates_narrows_the_interval():
    sizes = np.array([20, 100, 1000, 10_000, 100_000])
    canary, live = np.array([0.8, 0.2]) * sizes[:, None], np.array([0.9, 0.1]) * 10 * sizes[:, None]

    low, high = differences(canary, live)

    assert (np.diff(high - low) < 0).all()
    assert (low[0] > -1, high[0] > 0, high[2] < 0) == (True, True, True)
    assert high[-1] - low[-1] < 0.02


@pytest.mark.parametrize(
    ("canary", "live", "contained"),
    [
        (Counts(), Counts(), (-1.0, 1.0)),
        (Counts(), Counts(right=900, wrong=100), (-0.9, 0.1)),
        (Counts(right=1), Counts(wrong=1), (-0.5, 1.0)),
        (Counts(wrong=5), Counts(right=10**9), (-1.0, -1.0)),
        (Counts(right=10**9), Counts(wrong=10**9), (1.0, 1.0)),
    ],
)
def test_none_and_all_have_intervals_too(canary, live, contained):
    found = difference(canary, live)

    assert -1 <= found.low <= contained[0]
    assert contained[1] <= found.high <= 1
    wider = difference(canary, live, 0.999)
    assert wider.low <= found.low
    assert found.high <= wider.high


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1, math.nan])
def test_a_confidence_that_is_none_is_refused(confidence):
    with pytest.raises(ValueError, match="has to be between 0 and 1"):
        difference(Counts(), Counts(), confidence)


@pytest.mark.parametrize(("test", "rate"), [(WITHDRAW, 0.6), (PROMOTE, 0.97)])
def test_looks_after_every_feedback_err_no_more_often_than_promised(test, rate):
    """A z-test that is looked at as often errs in more than one of ten."""
    rates = (rate + test.bound, rate)
    counts = counts_of(np.random.default_rng(0), 500, 3000, rates, share=0.1)

    wrong, excluded = errors(counts, test, rates)

    assert wrong <= excluded <= 0.05
    assert excluded > 0, "the test must be able to fail"
    assert errors_of_z(counts, test) > 0.1


def test_a_bad_canary_is_withdrawn_and_a_better_one_promoted():
    generator = np.random.default_rng(1)
    looks = np.arange(99, 6000, 100)
    worse = counts_of(generator, 100, 6000, (0.75, 0.85), share=0.1)[:, :, looks]
    better = counts_of(generator, 100, 6000, (0.9, 0.85), share=0.1)[:, :, looks]

    assert decided(worse, WITHDRAW).any(axis=1).mean() > 0.95
    assert decided(better, PROMOTE).any(axis=1).mean() > 0.8
    assert decided(better, WITHDRAW).any(axis=1).mean() < 0.05
    assert difference(Counts(right=90, wrong=10), Counts(right=850, wrong=150)).low < -MARGIN
