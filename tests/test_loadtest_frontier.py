"""Percentiles, their intervals and the Pareto frontier. It does not know HTTP or files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.frontier import Candidate, pareto, percentile

latencies = st.lists(st.floats(0.0, 1e6), min_size=1, max_size=200).map(np.array)
quantiles = st.floats(0.001, 0.999)
candidates = st.lists(
    st.builds(
        Candidate,
        name=st.text(max_size=3),
        accuracy=st.sampled_from([0.7, 0.8, 0.9]),
        latency_ms=st.sampled_from([1.0, 2.0, 3.0]),
        bytes=st.sampled_from([10, 20, 30]),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(latencies, quantiles)
def test_a_percentile_is_an_observed_value_inside_its_own_interval(values, q):
    found = percentile(values, q)
    assert found.value in values
    assert found.low is None or found.low <= found.value
    assert found.high is None or found.value <= found.high


@settings(deadline=None)
@given(latencies, quantiles, quantiles)
def test_a_percentile_grows_with_its_quantile(values, one, other):
    low, high = sorted((one, other))
    assert percentile(values, low).value <= percentile(values, high).value


@settings(deadline=None)
@given(latencies, quantiles)
def test_a_percentile_does_not_depend_on_the_order_of_the_values(values, q):
    assert percentile(values, q) == percentile(values[::-1], q)


@settings(deadline=None)
@given(latencies, quantiles)
def test_a_share_of_at_least_q_does_not_exceed_the_percentile(values, q):
    assert np.mean(values <= percentile(values, q).value) >= q - 1e-9


def test_percentiles_of_one_to_a_hundred_are_as_numpy_says():
    values = np.arange(1.0, 101.0)
    for q in (0.5, 0.9, 0.99):
        assert percentile(values, q).value == np.quantile(values, q, method="inverted_cdf")
    assert percentile(values, 0.5).value == 50.0


def test_the_interval_of_a_median_of_a_hundred_has_the_textbook_ranks():
    found = percentile(np.arange(1.0, 101.0), 0.5)
    assert (found.low, found.high) == (40.0, 61.0)


def test_an_upper_bound_of_p99_needs_368_values():
    assert percentile(np.arange(367.0), 0.99).high is None
    assert percentile(np.arange(368.0), 0.99).high == 367.0


def test_ninety_five_percent_intervals_cover_the_true_percentile_at_least_that_often():
    random = np.random.default_rng(7)
    true_p90 = -np.log(0.1)
    found = [percentile(random.exponential(size=400), 0.9) for _ in range(2000)]
    covered = np.mean([one.low <= true_p90 <= one.high for one in found])
    assert 0.945 <= covered <= 0.98


@pytest.mark.parametrize(("values", "q"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.0)])
def test_a_percentile_of_nothing_or_outside_its_range_is_refused(values, q):
    with pytest.raises(ValueError):
        percentile(np.array(values), q)


def dominates(one: Candidate, other: Candidate) -> bool:
    better = [
        one.accuracy - other.accuracy,
        other.latency_ms - one.latency_ms,
        other.bytes - one.bytes,
    ]
    return min(better) >= 0 and max(better) > 0


@settings(deadline=None)
@given(candidates)
def test_the_frontier_holds_exactly_what_nothing_dominates(choices):
    frontier = pareto(choices)
    assert frontier == [
        one for one in choices if not any(dominates(other, one) for other in choices)
    ]
    assert frontier


@settings(deadline=None)
@given(candidates)
def test_the_frontier_of_a_frontier_is_itself(choices):
    assert pareto(pareto(choices)) == pareto(choices)
