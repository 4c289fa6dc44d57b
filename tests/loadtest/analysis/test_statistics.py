"""Intervals over rounds, capacity and the Pareto frontier."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.analysis.capacity import LoadPoint, capacity, predicted_p99_ms
from loadtest.analysis.frontier import ParetoPoint, pareto
from loadtest.analysis.statistics import Estimate, mean, mean_of_rates, quantile_of_rounds
from tests.support.queues import stationary_sojourns

rounds = st.lists(
    st.lists(st.just(0.0) | st.floats(1e-3, 1e6), min_size=1, max_size=60).map(np.array),
    min_size=1,
    max_size=6,
)
quantiles = st.floats(0.001, 0.999)
# Rates that a clock can tell apart: between neighbouring floats there is no rate to interpolate.
rates_rps = st.integers(1_000, 10_000_000).map(lambda thousandths: thousandths / 1000)
curves = st.lists(
    st.builds(LoadPoint, rate_rps=rates_rps, p99_ms=st.floats(0.1, 1e5)),
    min_size=1,
    max_size=8,
    unique_by=lambda point: point.rate_rps,
)
candidates = st.lists(
    st.builds(
        ParetoPoint,
        name=st.text(max_size=3),
        accuracy=st.sampled_from([0.7, 0.8, 0.9]),
        latency_ms=st.sampled_from([1.0, 2.0, 3.0]),
        bytes=st.sampled_from([10, 20, 30]),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(rounds, quantiles)
def test_a_quantile_is_an_observed_value_inside_its_own_interval(values, q):
    found = quantile_of_rounds(values, q)
    assert found.value in np.concatenate(values)
    if found.low is not None:
        assert found.low <= found.value * (1 + 1e-9)
    if found.high is not None:
        assert found.value <= found.high * (1 + 1e-9)


@settings(deadline=None)
@given(rounds, quantiles)
def test_a_quantile_is_what_numpy_says_of_all_rounds_together(values, q):
    together = np.concatenate(values)
    found = quantile_of_rounds(values, q)
    assert found.value == np.quantile(together, q, method="inverted_cdf")
    assert np.mean(together <= found.value) >= q - 1e-9


@settings(deadline=None)
@given(rounds, quantiles)
def test_neither_the_order_of_the_rounds_nor_within_them_matters(values, q):
    if len(values) > 1:  # one round is cut by time
        turned = [each[::-1] for each in values[::-1]]
        found, again = quantile_of_rounds(values, q), quantile_of_rounds(turned, q)
        assert found.value == again.value
        assert found.high == pytest.approx(again.high)


@pytest.mark.slow
@pytest.mark.parametrize(("q", "most"), [(0.5, 0.97), (0.99, 0.995)])
def test_intervals_of_dependent_waits_hold_the_truth_and_are_not_vacuous(q, most):
    """An M/M/1 queue's sojourn is exponential with rate 1 - load; above the p99 they are wider."""
    random = np.random.default_rng(7)
    load, truth = 0.5, -np.log(1 - q) / 0.5
    covered = 0
    for _ in range(1200):
        found = quantile_of_rounds(list(stationary_sojourns(random, 5, 1500, load)), q)
        covered += found.low <= truth <= found.high
    assert 0.93 <= covered / 1200 <= most


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8))
def test_a_mean_has_students_interval(values):
    found = mean(values)
    assert found.value == pytest.approx(np.mean(values))
    half = (found.high - found.low) / 2
    assert half >= np.std(values, ddof=1) / len(values) ** 0.5 - 1e-6


def test_one_round_gives_a_mean_without_bounds_and_none_gives_none():
    assert (mean([3.0]).low, mean([3.0]).high) == (None, None)
    assert mean([]) is None


@pytest.mark.parametrize(("values", "q"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.0)])
def test_a_quantile_of_nothing_or_outside_its_range_is_refused(values, q):
    with pytest.raises(ValueError):
        quantile_of_rounds([np.array(values)], q)


@settings(deadline=None)
@given(curves, st.floats(0.1, 1e5), st.floats(1.0, 10.0))
def test_capacity_grows_with_the_slo_and_never_leaves_what_was_measured(points, slo_ms, times):
    found, looser = capacity(points, slo_ms), capacity(points, slo_ms * times)
    highest = max(point.rate_rps for point in points)
    if found:
        assert min(point.rate_rps for point in points) <= found.rate_rps <= highest
        assert looser.rate_rps >= found.rate_rps
        assert predicted_p99_ms(points, found.rate_rps) <= slo_ms * (1 + 1e-6)
    else:
        assert min(points, key=lambda point: point.rate_rps).p99_ms > slo_ms


def test_capacity_lies_between_the_points_around_the_slo():
    points = [LoadPoint(100.0, 10.0), LoadPoint(200.0, 20.0), LoadPoint(300.0, 80.0)]
    found = capacity(points, 40.0)
    assert found.rate_rps == pytest.approx(250.0)
    assert not found.measured_out
    assert capacity(points, 100.0).measured_out
    assert capacity(points, 5.0) is None
    assert capacity([], 5.0) is None


def test_nothing_is_predicted_beyond_what_was_measured():
    with pytest.raises(ValueError, match="no p99 is known"):
        predicted_p99_ms([LoadPoint(100.0, 10.0)], 101.0)


def dominates(one: ParetoPoint, other: ParetoPoint) -> bool:
    better = [
        one.accuracy - other.accuracy,
        other.latency_ms - one.latency_ms,
        other.bytes - one.bytes,
    ]
    return min(better) >= 0 and max(better) > 0


@pytest.mark.slow
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


def test_a_rate_is_not_below_zero_however_few_the_rounds():
    found = mean_of_rates([1.0, 5.0])

    assert (found.value, found.low) == (3.0, 0.0)
    assert mean_of_rates([]) is None


def test_a_quantile_of_rounds_that_differ_beyond_measure_has_no_bounds():
    rounds = [np.full(50, 1.0), np.full(50, 90.0)]

    assert quantile_of_rounds(rounds, 0.99) == Estimate(90.0, None, None)
