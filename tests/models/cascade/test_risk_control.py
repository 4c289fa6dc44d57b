import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from models.cascade.risk_control import p_value, passed, refutation, texts_needed, upper_bound
from serving.bundles.cascade import Target

agreement = Target(loss="agreement", max_loss=0.02, confidence=0.95)
accuracy = Target(loss="accuracy", max_loss=0.02, confidence=0.95)
some_losses = st.lists(st.sampled_from([-1.0, 0.0, 0.0, 0.0, 1.0]), min_size=1, max_size=200)


def everyone(losses):
    return np.ones((1, len(losses)), dtype=bool)


def drawn(target, n, generator, discordant=0.06):
    """Losses of a cascade whose expected loss is the target's: as bad as it may be."""
    if target.loss == "agreement":
        return (generator.random(n) < target.max_loss).astype(float)
    worse = (discordant + target.max_loss) / 2
    return generator.choice([1.0, 0.0, -1.0], n, p=[worse, 1 - discordant, discordant - worse])


@given(st.integers(0, 200), st.integers(1, 200))
def test_the_bound_of_agreement_is_clopper_and_pearson_s(lost, n):
    lost = min(lost, n)
    losses = (np.arange(n) < lost).astype(float)

    expected = stats.binomtest(lost, n, alternative="less").proportion_ci(0.95, "exact").high

    assert upper_bound(losses, everyone(losses), agreement) == pytest.approx(expected)


@pytest.mark.parametrize("n", [100, 600])
@pytest.mark.parametrize("target", [agreement, accuracy], ids=lambda t: t.loss)
def test_a_loss_at_the_target_passes_in_no_more_than_the_stated_share(target, n):
    generator = np.random.default_rng(1)

    runs = [drawn(target, n, generator) for _ in range(2000)]

    shares = [p_value(losses, everyone(losses), target) <= 0.05 for losses in runs]
    assert stats.binomtest(sum(shares), len(runs), 0.05, alternative="greater").pvalue > 0.001


@pytest.mark.parametrize("target", [agreement, accuracy], ids=lambda t: t.loss)
def test_a_target_that_is_just_met_is_refuted_in_no_more_than_the_stated_share(target):
    generator = np.random.default_rng(3)

    runs = [drawn(target, 600, generator) for _ in range(2000)]

    refuted = sum(refutation(losses, everyone(losses), target) <= 0.05 for losses in runs)
    assert stats.binomtest(refuted, len(runs), 0.05, alternative="greater").pvalue > 0.001


@pytest.mark.parametrize("target", [agreement, accuracy], ids=lambda t: t.loss)
def test_a_loss_of_twice_the_target_is_refuted_by_2000_texts(target):
    worse = target.model_copy(update={"max_loss": 2 * target.max_loss})
    losses = drawn(worse, 2000, np.random.default_rng(4))

    assert refutation(losses, everyone(losses), target) < 0.01
    assert refutation(losses, everyone(losses), worse) > 0.05


def test_a_group_without_texts_refutes_nothing():
    losses = np.zeros(50)
    groups = np.stack([np.ones(50, dtype=bool), np.zeros(50, dtype=bool)])

    assert refutation(losses, groups, agreement) == 1


@pytest.mark.parametrize("target", [agreement, accuracy], ids=lambda t: t.loss)
def test_the_bound_covers_the_expected_loss(target):
    generator = np.random.default_rng(2)

    missed = 0
    for _ in range(1000):
        losses = drawn(target, 400, generator)
        missed += upper_bound(losses, everyone(losses), target) < target.max_loss

    assert stats.binomtest(missed, 1000, 0.05, alternative="greater").pvalue > 0.001


@given(some_losses, st.sampled_from([agreement, accuracy]), st.floats(0.002, 0.9))
def test_the_bound_is_within_the_target_where_the_test_passes(losses, target, max_loss):
    losses = np.abs(losses) if target is agreement else np.array(losses)
    target = target.model_copy(update={"max_loss": max_loss})

    bound = upper_bound(losses, everyone(losses), target)

    if abs(bound - max_loss) > 1e-9:
        passes = p_value(losses, everyone(losses), target) <= 0.05 + 1e-12
        assert passes == (bound < max_loss)
    assert bound >= losses.mean() - 1e-9


@given(some_losses, st.floats(0.01, 0.5), st.floats(0.01, 0.4))
def test_a_laxer_target_is_no_harder_to_show(losses, max_loss, more):
    for target in (agreement, accuracy):
        own = np.abs(losses) if target is agreement else np.array(losses)
        strict = target.model_copy(update={"max_loss": max_loss})
        lax = target.model_copy(update={"max_loss": max_loss + more})

        assert p_value(own, everyone(own), lax) <= p_value(own, everyone(own), strict) + 1e-12


@given(some_losses, st.lists(st.booleans(), min_size=200, max_size=200))
def test_the_worst_group_decides_and_an_empty_one_shows_nothing(losses, member):
    losses, one = np.array(losses), np.array(member[: len(losses)])
    groups = np.stack([one, ~one])

    both = p_value(losses, groups, accuracy)

    assert both == max(p_value(losses, group[None], accuracy) for group in groups)
    assert one.any() or both == 1
    assert p_value(losses, np.zeros((1, len(losses)), dtype=bool), agreement) == 1


@given(st.lists(st.floats(0, 1), max_size=20))
def test_testing_stops_at_the_first_failure(p_values):
    count = passed(iter(p_values), 0.95)

    assert all(p <= 1 - 0.95 for p in p_values[:count])
    assert count == len(p_values) or p_values[count] > 1 - 0.95


@given(st.floats(0.001, 0.3), st.floats(0.6, 0.99))
def test_without_a_loss_it_takes_as_many_texts_as_the_power_says(max_loss, confidence):
    target = Target(loss="agreement", max_loss=max_loss, confidence=confidence)

    n = texts_needed(np.zeros(1), target)

    assert n == math.ceil(math.log(1 - confidence) / math.log(1 - max_loss))


@pytest.mark.parametrize("target", [agreement, accuracy], ids=lambda t: t.loss)
def test_so_many_texts_with_the_same_losses_do_show_it_and_far_fewer_do_not(target):
    losses = np.zeros(500)
    losses[::100] = 1

    n = texts_needed(losses, target)

    def shown(texts):
        many = np.resize(losses, texts)
        return p_value(np.random.default_rng(0).permutation(many), everyone(many), target) <= 0.05

    assert n > texts_needed(np.zeros(1), target)
    assert shown(2 * n)
    assert not shown(n // 2)
    assert texts_needed(np.ones(5), target) is None
