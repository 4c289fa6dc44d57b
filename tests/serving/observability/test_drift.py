import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.observability.drift import Drift, lower_bound


def texts_until_drifted(share, low, high, most, seed):
    drift, generator = Drift(low, high), np.random.default_rng(seed)
    for text, hit in enumerate(generator.random(most) < share):
        drift.add(1, int(hit))
        if drift.drifted:
            return text + 1
    return None


@pytest.mark.parametrize("share", [0.25, 0.27, 0.3])
def test_no_alarm_while_the_share_is_where_it_was_measured(share):
    runs = [texts_until_drifted(share, 0.25, 0.3, 5_000, seed) for seed in range(20)]

    assert runs == [None] * 20


@pytest.mark.parametrize(("share", "within"), [(0.5, 400), (0.1, 1_000), (0.4, 1_200)])
def test_an_alarm_soon_after_the_share_has_moved(share, within):
    for seed in range(10):
        assert texts_until_drifted(share, 0.25, 0.3, within, seed)


@pytest.mark.parametrize("group", [50, 1_000])
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_texts_added_in_groups_raise_the_alarm_no_earlier_and_hardly_later(share, group):
    for seed in range(10):
        generator = np.random.default_rng(seed)
        usual, moved = generator.random(2_000) < 0.27, generator.random(8_000) < share
        hits = np.concatenate([usual, moved]).astype(int)

        def texts_until_alarm(size, hits=hits):
            drift = Drift(0.25, 0.3)
            for start in range(0, len(hits), size):
                drift.add(size, int(hits[start : start + size].sum()))
                if drift.drifted:
                    return start + size
            return None

        one_by_one = texts_until_alarm(1)
        assert one_by_one > len(usual)
        assert one_by_one <= texts_until_alarm(group) < one_by_one + 2 * group


def test_the_alarm_ends_when_the_share_is_back():
    drift = Drift(0.25, 0.3)
    drift.add(1000, 600)
    raised = drift.drifted
    drift.add(2000, 540)

    assert raised
    assert not drift.drifted


def test_a_share_that_cannot_move_further_is_tested_the_other_way():
    drift = Drift(0.0, 0.01)
    drift.add(10_000, 0)
    assert not drift.drifted
    drift.add(1_000, 200)
    assert drift.drifted

    full = Drift(0.99, 1.0)
    full.add(10_000, 10_000)
    assert not full.drifted


@given(st.integers(1, 2_000), st.data())
def test_the_lower_bound_is_under_the_share_and_rises_with_hits(texts, data):
    hits = data.draw(st.integers(0, texts))
    bound = lower_bound(hits, texts)

    assert 0 <= bound <= hits / texts
    if hits < texts:
        assert bound <= lower_bound(hits + 1, texts)


def test_the_lower_bound_holds_at_all_times_at_once():
    generator = np.random.default_rng(0)
    crossed = 0
    for _ in range(200):
        hits = np.cumsum(generator.random(1_000) < 0.05)
        looks = range(10, 1_001, 30)
        crossed += any(lower_bound(int(hits[n - 1]), n) > 0.05 for n in looks)

    assert crossed <= 0.05 * 200 + 3 * (200 * 0.05 * 0.95) ** 0.5
