"""Thresholds keep their promise, whatever the scores are, and say what they cannot promise."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from models.decisions.thresholds import (
    NEAR,
    Allowance,
    TooFewTexts,
    allowances,
    allowed_errors,
    best_power,
    error_rate,
    power,
    texts_needed,
    threshold,
)
from tests.support.decision_problems import at_least, at_most, normal_scores

RISK = 0.05
RATES = st.sampled_from([0.01, 0.05, 0.2, 0.5])
TARGETS = [at_most(0.2), at_least(0.8)]


@given(st.integers(1, 2000), RATES, st.sampled_from([0.001, 0.05, 0.2]))
def test_the_errors_are_as_many_as_the_binomial_test_allows(n, rate, risk):
    errors = allowed_errors(n, rate, risk)

    if errors is None:
        assert (1 - rate) ** n > risk
        assert n < texts_needed(rate, risk)
    else:
        assert stats.binom.cdf(errors, n, rate) <= risk < stats.binom.cdf(errors + 1, n, rate)
        assert n >= texts_needed(rate, risk)


def test_a_hundredth_takes_299_texts_and_no_text_shows_nothing():
    assert texts_needed(0.01, RISK) == 299
    assert allowed_errors(299, 0.01, RISK) == 0
    assert allowed_errors(298, 0.01, RISK) is None
    assert allowed_errors(0, 0.01, RISK) is None


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9, 1.0]), st.booleans()), min_size=2),
    st.sampled_from(TARGETS),
    st.integers(0, 5),
)
def test_never_more_errors_than_are_allowed_and_no_fewer_without_ties(texts, target, errors):
    """Flagging from one observed score less, or more, on would exceed them."""
    scores, has_label = (np.array(each) for each in zip(*texts, strict=True))
    about = has_label if target.min_recall else ~has_label
    if about.sum() <= errors:
        return
    value = threshold(scores, has_label, target, Allowance(int(about.sum()), errors, RISK))

    if value is None:
        assert ((scores == 1) & ~has_label).sum() > errors
        return
    wrong = (scores >= value) != has_label
    assert 0 <= value <= 1
    assert wrong[about].sum() <= errors
    beyond = scores[scores >= value].min(initial=2) if target.min_recall else None
    if target.min_recall:
        looser_errors = (scores[has_label] <= beyond).sum()
    else:
        looser_errors = (scores[~has_label] >= scores[scores < value].max()).sum()
    assert looser_errors > errors


@given(
    st.lists(st.tuples(st.floats(-30, 30), st.booleans()), min_size=2),
    st.sampled_from(TARGETS),
    st.integers(0, 5),
    st.integers(0, 2**32 - 1),
)
def test_roundings_of_the_scores_make_no_more_errors_than_are_allowed(texts, target, errors, seed):
    """Whatever texts are near-equal, those that chose are asked again in other batches."""
    log_odds, has_label = (np.array(each) for each in zip(*texts, strict=True))
    about = has_label if target.min_recall else ~has_label
    if about.sum() <= errors:
        return
    random = np.random.default_rng(seed)
    # Some lie so near to others that they are the same score.
    log_odds = random.choice(log_odds, len(log_odds)) if seed % 2 else log_odds
    first, other = (log_odds + random.uniform(-NEAR / 2, NEAR / 2, len(texts)) for _ in "ab")
    value = threshold(special.expit(first), has_label, target, Allowance(1, errors, RISK))

    if value is not None:
        wrong = (special.expit(other) >= value) != has_label
        assert wrong[about].sum() <= errors


@pytest.mark.parametrize("target", [at_most(0.2), at_least(0.8)])
def test_the_promise_holds_for_few_scores_that_each_batch_rounds_otherwise(target):
    """A threshold right beside a score, which lies between its roundings, often breaks it."""
    generator = np.random.default_rng(5)
    scores, truth = (each[:, 0] for each in normal_scores(generator, 20_000))
    log_odds = special.logit(scores)
    log_odds = np.where(generator.random(20_000) < 0.5, log_odds, log_odds.round())
    # The rounding that errs on each text of the population.
    worst = special.expit(log_odds + (-3e-6 if target.min_recall else 3e-6))
    missed, beside = [], []
    for _ in range(500):
        drawn = generator.integers(0, len(scores), 300)
        chosen = special.expit(log_odds[drawn] + generator.uniform(-3e-6, 3e-6, 300))
        (allowed,) = allowances([target], truth[drawn, None], 0.95)
        value = threshold(chosen, truth[drawn], target, allowed)
        own = np.sort(chosen[truth[drawn] == bool(target.min_recall)])
        plain = own[allowed.errors] if target.min_recall else own[-1 - allowed.errors] + 1e-12
        for rates, each in ((missed, value), (beside, plain)):
            rates.append(error_rate(worst >= each, truth, target) > target.max_error)

    assert stats.binomtest(sum(missed), 500, 0.05, "greater").pvalue > 0.001
    assert np.mean(beside) > 0.5


@pytest.mark.parametrize("target", TARGETS)
def test_discrete_scores_miss_no_more_often_than_the_risk(target):
    """All samples of few texts with three possible scores, each with its exact probability."""
    n, points, chances = 8, np.array([0.2, 0.5, 0.8]), np.array([0.5, 0.2, 0.3])
    has_label = np.full(n, target.min_recall is not None)
    errors = allowed_errors(n, target.max_error, 0.25)
    allowed = Allowance(n, errors, 0.25)
    missed = total = 0.0
    for sample in product(range(3), repeat=n):
        chance = chances[list(sample)].prod()
        value = threshold(points[list(sample)], has_label, target, allowed)
        wrong = (points >= value) != has_label[0]
        missed += chance * (chances[wrong].sum() > target.max_error + 1e-12)
        total += chance

    assert total == pytest.approx(1)
    assert 0 < missed <= 0.25


@pytest.mark.parametrize("target", [at_most(0.05), at_least(0.9)])
def test_continuous_scores_miss_about_as_often_as_the_risk(target):
    generator = np.random.default_rng(0)
    scores, truth = normal_scores(generator, 100_000)
    everyone, has_label = scores[:, 0], truth[:, 0]
    missed, risks = [], []
    for _ in range(500):
        drawn = generator.integers(0, len(everyone), 600)
        (allowed,) = allowances([target], truth[drawn], 0.9)
        value = threshold(everyone[drawn], has_label[drawn], target, allowed)
        risks.append(allowed.risk)
        missed.append(error_rate(everyone >= value, has_label, target) > target.max_error)

    assert max(risks) <= 0.1
    low, high = stats.binomtest(sum(missed), 500).proportion_ci(0.999)
    assert low <= np.mean(risks) <= high


@pytest.mark.parametrize("labels", [2, 5])
def test_several_labels_are_all_met_with_the_confidence(labels):
    """Labels whose scores are independent, which is the hardest case of the union bound."""
    generator = np.random.default_rng(1)
    scores, truth = normal_scores(generator, 50_000, labels)
    targets = [at_most(0.05, str(at)) if at % 2 else at_least(0.9, str(at)) for at in range(labels)]
    missed = []
    for _ in range(300):
        drawn = generator.integers(0, len(scores), 800)
        allowed = allowances(targets, truth[drawn], 0.9)
        assert sum(each.risk for each in allowed) <= 0.1 + 1e-12
        rates = []
        for at, target in enumerate(targets):
            value = threshold(scores[drawn, at], truth[drawn, at], target, allowed[at])
            rates.append(error_rate(scores[:, at] >= value, truth[:, at], target))
        missed.append(any(r > t.max_error for r, t in zip(rates, targets, strict=True)))

    assert stats.binomtest(sum(missed), 300, 0.1, "greater").pvalue > 0.001
    assert sum(missed) > 0


def test_what_one_label_cannot_use_goes_to_the_next():
    """75 texts allow no error, which takes 0.021 of their 0.05: the others have 0.079."""
    has_label = np.zeros((1000, 2), bool)
    has_label[:925, 0] = True
    targets = [at_most(0.05, "rare"), at_most(0.05, "usual")]
    first, second = allowances(targets, has_label, 0.9)

    assert (first.n, first.errors) == (75, 0)
    assert second.n == 1000
    assert second.risk > 0.04
    assert first.risk + second.risk <= 0.1
    assert second.errors > allowed_errors(1000, 0.05, 0.05)


def test_too_few_texts_say_how_many_it_takes():
    has_label = np.zeros((100, 1), bool)
    with pytest.raises(TooFewTexts) as caught:
        allowances([at_most(0.01)], has_label, 0.95)

    assert (caught.value.n, caught.value.needed) == (100, 299)
    has_label[:40] = True
    with pytest.raises(TooFewTexts) as caught:
        allowances([at_least(0.99)], has_label, 0.95)

    assert (caught.value.n, caught.value.needed) == (40, 299)


def test_hindsight_is_no_worse_and_power_is_what_the_target_leaves_open():
    scores, truth = (each[:, 0] for each in normal_scores(np.random.default_rng(2), 2000))
    flagged = scores >= 0.5
    assert power(flagged, truth, at_most(0.1)) == pytest.approx(flagged[truth].mean())
    assert power(flagged, truth, at_least(0.9)) == pytest.approx(1 - flagged[~truth].mean())
    for target in (at_most(0.1), at_least(0.9)):
        (allowed,) = allowances([target], truth[:, None], 0.95)
        own = threshold(scores, truth, target, allowed)
        assert power(scores >= own, truth, target) < best_power(scores, truth, target)


@pytest.mark.parametrize("target", TARGETS)
def test_hindsight_loses_nothing_to_a_target_that_is_about_none_of_the_texts(target):
    truth = np.full(3, target.min_recall is None)

    assert best_power(np.array([0.1, 0.5, 0.9]), truth, target) == 1.0
