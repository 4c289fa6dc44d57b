"""What is drawn of a load, from latencies that are known."""

import numpy as np
import pytest

from loadtest.analysis.series import histogram, timeline
from tests.support.queues import phase, samples

WARMUP_S = 1.0


def made(seconds_ms, number=0, failed=()):
    """A round of which each second has the given latencies, evenly spread, after a slow warm-up.

    `failed` are the places of requests that were answered with 429. The rows are in no order.
    """
    due_s = [np.linspace(0.0, WARMUP_S, 10, endpoint=False)]
    due_s += [
        WARMUP_S + second + np.arange(len(own_ms)) / len(own_ms)
        for second, own_ms in enumerate(seconds_ms)
    ]
    due_s, latency_ms = np.concatenate(due_s), np.concatenate([np.full(10, 9999.0), *seconds_ms])
    status = np.full(due_s.size, 200, np.int16)
    status[[10 + place for place in failed]] = 429
    of = phase(200.0, number=number, measured_s=float(len(seconds_ms)), warmup_s=WARMUP_S)
    mixed = np.random.default_rng(1).permutation(due_s.size)
    end_s = due_s + latency_ms / 1e3
    return samples(of, due_s[mixed], end_s[mixed], status=status[mixed])


def test_each_slice_has_the_figures_of_its_own_requests():
    rising = np.arange(1.0, 201.0)
    found = timeline(
        [
            made([rising, np.full(200, 10.0)], number=0, failed=[397, 398, 399]),
            made([np.full(200, 20.0), rising[::-1]], number=2),
        ]
    )

    assert found.slice_s == 1.0
    assert found.round == [0, 0, 2, 2]
    assert found.start_s == [0.0, 1.0, 0.0, 1.0]
    assert found.requests == [200] * 4
    assert found.failed == [0, 3, 0, 0]
    assert found.p50_ms == [100.0, 10.0, 20.0, 100.0]
    assert found.p99_ms == [198.0, None, 20.0, 198.0]


@pytest.mark.parametrize(
    ("a_second", "seconds", "slice_s"), [(60, 8, 4.0), (20, 20, 10.0), (400, 4, 1.0)]
)
def test_a_slice_lasts_until_it_has_enough_requests_for_a_p99(a_second, seconds, slice_s):
    found = timeline([made([np.full(a_second, 5.0)] * seconds)])

    assert found.slice_s == slice_s
    assert sum(found.requests) == a_second * seconds
    assert min(found.requests) >= 200
    assert set(found.p99_ms) == {5.0}


def test_the_slowest_of_few_requests_is_not_called_a_p99():
    quiet = [np.full(20, 5.0)] * 4
    few = timeline([made(quiet)])
    assert (few.requests, few.p50_ms, few.p99_ms) == ([80], [5.0], [None])

    burst = timeline([made([np.full(380, 5.0), np.full(20, 9.0)])])
    assert (burst.requests, burst.p50_ms, burst.p99_ms) == ([380, 20], [5.0, 9.0], [5.0, None])


def test_the_slices_of_all_rounds_together_are_at_most_240():
    rounds = [made([np.full(200, 5.0)] * 100, number=number) for number in range(3)]
    found = timeline(rounds)

    assert len(found.round) == 240
    assert found.slice_s == 1.25
    assert sum(found.requests) == 60_000


def test_a_second_in_which_nothing_was_answered_has_failures_and_no_latency():
    found = timeline([made([np.full(200, 5.0)] * 2, failed=range(200, 400))])

    assert found.failed == [0, 200]
    assert found.p50_ms == found.p99_ms == [5.0, None]


def test_without_rounds_there_is_nothing_to_draw():
    found = timeline([])

    assert (found.round, found.requests, found.p99_ms) == ([], [], [])
    assert histogram([]).counts == []


def test_a_histogram_counts_what_is_answered_between_its_edges_and_the_rest_apart():
    drawn = histogram([made([[1.05] * 3 + [95.0] * 2 + [100.0]], failed=[5])])

    assert (sum(drawn.counts), drawn.unanswered) == (5, 1)
    assert drawn.counts[0] == 3
    assert drawn.counts[-1] == 2
    assert len(drawn.edges_ms) == len(drawn.counts) + 1
    assert drawn.edges_ms[0] <= 1.05 < drawn.edges_ms[1]
    assert drawn.edges_ms[-2] <= 95.0 < drawn.edges_ms[-1]
