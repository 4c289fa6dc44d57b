import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.observability.drift import Drift, Excess, lower_bound


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


def alike_requests(generator, requests, texts, share, correlation):
    """The hits of requests whose texts resemble each other: shares of a beta distribution."""
    spread = 1 / correlation - 1
    own = generator.beta(share * spread, (1 - share) * spread, requests)
    return generator.binomial(texts, own)


@pytest.mark.parametrize("correlation", [0.01, 0.05, 0.2, 0.999])
def test_requests_of_texts_that_are_alike_raise_no_alarm(correlation):
    """Counted text by text, 200,000 of them raised it in all runs from 0.05 on."""
    generator = np.random.default_rng(0)
    alarms = 0
    for _ in range(20):
        drift = Drift(0.27, 0.27)
        for hits in alike_requests(generator, 6_250, 32, 0.27, correlation).tolist():
            drift.add(32, hits)
            alarms += drift.drifted

    assert alarms == 0


@pytest.mark.parametrize(("share", "within"), [(0.5, 120), (0.1, 150), (0.4, 250)])
def test_an_alarm_soon_after_the_share_of_large_requests_has_moved(share, within):
    for seed in range(10):
        generator = np.random.default_rng(seed)
        drift = Drift(0.25, 0.3)
        for hits in alike_requests(generator, 1_000, 32, 0.27, 0.05).tolist():
            drift.add(32, hits)
            assert not drift.drifted
        for hits in alike_requests(generator, within, 32, share, 0.05).tolist():
            drift.add(32, hits)

        assert drift.drifted


# Requests of each kind: their share, their texts, and the share of these that are events.
SIZES = {
    "the large ones more": ((0.9, 1, 0.2), (0.1, 32, 0.32)),
    "the large ones less": ((0.9, 1, 0.32), (0.1, 32, 0.2)),
    "three sizes": ((0.6, 1, 0.3), (0.3, 8, 0.25), (0.1, 64, 0.2)),
}


def mixed_requests(generator, kinds, requests, moved=1.0):
    """The texts and hits of requests; texts of one request resemble each other."""
    shares, sizes, events = map(np.array, zip(*kinds, strict=True))
    kind = generator.choice(len(kinds), requests, p=shares)
    texts = sizes[kind]
    return texts, alike_requests(generator, requests, texts, moved * events[kind], 0.05)


def share_of_texts(kinds):
    return sum(a * n * p for a, n, p in kinds) / sum(a * n for a, n, _ in kinds)


@pytest.mark.parametrize("requests", [1, 20])
@pytest.mark.parametrize("kinds", SIZES.values(), ids=SIZES)
def test_no_alarm_where_large_requests_have_another_share_than_small_ones(kinds, requests):
    """Each block a bet of the same size, all of ten runs raised it; the share is by the text."""
    share, alarms = share_of_texts(kinds), 0
    for seed in range(10):
        texts, hits = (
            each.reshape(-1, requests).sum(axis=1).tolist()
            for each in mixed_requests(np.random.default_rng(seed), kinds, 20_000 * requests // 4)
        )
        drift, raised = Drift(share, share), False
        for block in zip(texts, hits, strict=True):
            drift.add(*block)
            raised |= drift.drifted
        alarms += raised

    assert alarms == 0


@pytest.mark.parametrize(("moved", "within"), [(1.5, 600), (0.5, 1_300)])
@pytest.mark.parametrize("kinds", SIZES.values(), ids=SIZES)
def test_an_alarm_soon_after_the_share_of_requests_of_all_sizes_has_moved(kinds, moved, within):
    share = share_of_texts(kinds)
    for seed in range(5):
        generator, drift = np.random.default_rng(seed), Drift(share, share)
        for texts, hits in zip(*mixed_requests(generator, kinds, 1_000), strict=True):
            drift.add(int(texts), int(hits))
        assert not drift.drifted
        for texts, hits in zip(*mixed_requests(generator, kinds, within, moved), strict=True):
            drift.add(int(texts), int(hits))

        assert drift.drifted


@pytest.mark.parametrize("texts", [1, 32])
def test_the_alarm_ends_when_the_share_is_back(texts):
    drift, generator = Drift(0.25, 0.3), np.random.default_rng(0)
    raised = []
    for share, blocks in ((0.5, 1_000), (0.27, 4_000)):
        for hits in generator.binomial(texts, share, blocks).tolist():
            drift.add(texts, hits)
        raised.append(drift.drifted)

    assert raised == [True, False]


def test_a_share_that_cannot_move_further_is_tested_the_other_way():
    drift, full = Drift(0.0, 0.01), Drift(0.99, 1.0)
    for _ in range(10_000):
        drift.add(1, 0)
        full.add(1, 1)
    assert not drift.drifted
    assert not full.drifted

    for _ in range(20):
        drift.add(1, 1)
        full.add(1, 0)
    assert drift.drifted
    assert full.drifted


def samples_until_excess(excess, shares, allowed):
    for number, hit in enumerate(shares):
        excess.add(1, int(hit))
        if excess.least > allowed:
            return number + 1
    return None


@pytest.mark.parametrize("allowed", [0.01, 0.02, 0.05])
def test_500_samples_show_a_jump_to_three_times_what_is_allowed_after_100_000_usual_ones(allowed):
    """The lower bound over all samples took 49,500 to 55,000 after the jump."""
    found = []
    for seed in range(7):
        generator = np.random.default_rng(seed)
        excess = Excess(allowed)
        usual = generator.random(100_000 if seed == 0 else 5_000) < allowed / 10
        assert samples_until_excess(excess, usual.tolist(), allowed) is None
        moved = generator.random(2_000) < 3 * allowed
        found.append(samples_until_excess(excess, moved.tolist(), allowed))

    assert np.median(found) <= 500


@pytest.mark.parametrize("allowed", [0.01, 0.05])
def test_what_is_just_allowed_seldom_looks_excessive_and_half_of_it_never(allowed):
    generator = np.random.default_rng(0)
    alarms = []
    for share in (allowed, allowed / 2):
        excess, raised, before = Excess(allowed), 0, False
        for hit in (generator.random(30_000) < share).tolist():
            excess.add(1, int(hit))
            now = excess.least > allowed
            raised += now and not before
            before = now
        alarms.append(raised)

    assert alarms[0] <= 30_000 / 1_000
    assert alarms[1] == 0


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
