"""The interval of a p99 near saturation, where a round is short beside the queue's memory."""

import numpy as np
import pytest

from loadtest.analysis.statistics import effective_size, quantile_of_rounds
from tests.support.queues import stationary_sojourns

RUNS = 300
NOMINAL = 0.95


def intervals(load, requests, rounds=5, seed=7):
    """The true p99 of an M/M/1 queue, and the intervals of runs."""
    random = np.random.default_rng(seed)
    truth = -np.log(0.01) / (1.0 - load)
    drawn = (stationary_sojourns(random, rounds, requests, load) for _ in range(RUNS))
    return truth, [quantile_of_rounds(list(each), 0.99) for each in drawn]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "requests"), [(0.7, 1500), (0.8, 1500), (0.9, 1500), (0.9, 3000), (0.95, 3000)]
)
def test_the_upper_bound_of_a_p99_holds_or_is_said_to_be_unknown(load, requests):
    """Sectioning alone held the truth in 91, 87, 76, 84 and 77 % of runs."""
    truth, found = intervals(load, requests)
    covered = np.mean([
        (each.low is None or each.low <= truth) and (each.high is None or truth <= each.high)
        for each in found
    ])  # fmt: skip
    assert covered >= NOMINAL


@pytest.mark.slow
@pytest.mark.parametrize(("load", "requests", "most"), [(0.5, 3000, 1.25), (0.9, 12000, 1.8)])
def test_a_bound_is_given_where_the_rounds_are_long_enough_and_is_not_vacuous(load, requests, most):
    _, found = intervals(load, requests)
    known = [each.high / each.value for each in found if each.high is not None]
    assert len(known) >= 0.95 * RUNS
    assert np.median(known) <= most


@pytest.mark.parametrize("load", [0.5, 0.9])
def test_the_effective_size_is_that_of_the_queues_autocorrelation(load):
    """The integrated autocorrelation time of M/M/1 waits is about 2 (1 + load) / (1 - load)^2."""
    random = np.random.default_rng(3)
    waits = list(stationary_sojourns(random, 4, 200_000, load))
    expected = 800_000 * (1.0 - load) ** 2 / (2.0 * (1.0 + load))
    assert expected / 2.0 <= effective_size(waits) <= expected * 2.0


def test_independent_values_are_as_many_as_they_are():
    random = np.random.default_rng(4)
    assert effective_size([random.exponential(size=2000)] * 1) == pytest.approx(2000, rel=0.2)
    assert effective_size([np.full(50, 3.0)] * 2) == 100.0


def test_fifty_values_tell_no_upper_bound_of_a_p99():
    random = np.random.default_rng(5)
    found = quantile_of_rounds([random.exponential(size=12) + 1.0 for _ in range(4)], 0.99)
    assert found.high is None
    assert found.low is not None
