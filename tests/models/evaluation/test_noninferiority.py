import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from models.evaluation.noninferiority import (
    inferiority_p_value,
    largest_loss,
    p_value,
    proved,
    texts_needed,
)

COUNTS = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(80, 2000))


def chance_of_proof(texts, margin, better_share):
    """The probability of p <= 0.05, summed over all outcomes, when the loss is the margin."""
    worse_share = better_share + margin
    most = [int(stats.binom.ppf(1 - 1e-7, texts, share)) for share in (better_share, worse_share)]
    chance = 0.0
    for better in range(most[0] + 1):
        fits = [w for w in range(most[1] + 1) if w + better <= texts]
        # The more are worse the larger p is, so the outcomes that prove it come first.
        proofs = np.searchsorted(
            [p_value(better, worse, texts, margin) for worse in fits], 0.05, side="right"
        )
        chance += stats.binom.pmf(better, texts, better_share) * stats.binom.cdf(
            proofs - 1, texts - better, worse_share / (1 - better_share)
        )
    return chance


@pytest.mark.parametrize("better_share", [0.0, 0.003, 0.03, 0.1])
@pytest.mark.parametrize(("texts", "margin"), [(149, 0.02), (300, 0.02), (600, 0.01)])
def test_a_loss_of_the_margin_passes_for_less_in_one_case_of_twenty_at_most(
    texts, margin, better_share
):
    """A point estimate lets it pass in every second case."""
    assert 0.01 < chance_of_proof(texts, margin, better_share) <= 0.0501


@pytest.mark.parametrize("better_share", [0.0, 0.003, 0.01, 0.03])
@pytest.mark.parametrize(("texts", "margin"), [(300, 0.02), (600, 0.01)])
def test_a_loss_of_the_margin_is_refuted_in_hardly_more_than_one_case_of_twenty(
    texts, margin, better_share
):
    worse_share = better_share + margin
    most = [int(stats.binom.ppf(1 - 1e-7, texts, share)) for share in (better_share, worse_share)]
    chance = 0.0
    for better in range(most[0] + 1):
        tested = [inferiority_p_value(better, w, texts, margin) for w in range(most[1] + 1)]
        least = np.argmax(np.array(tested) <= 0.05) if min(tested) <= 0.05 else most[1] + 1
        chance += stats.binom.pmf(better, texts, better_share) * stats.binom.sf(
            least - 1, texts - better, worse_share / (1 - better_share)
        )

    assert 0.01 < chance <= 0.056


def test_a_loss_of_twice_the_margin_is_refuted_by_2000_texts():
    assert inferiority_p_value(20, 100, 2000, 0.02) < 0.001
    assert inferiority_p_value(20, 100, 2000, 0.04) == 1


def test_a_variant_that_loses_nothing_is_shown_to_lose_less_than_a_point():
    generator = np.random.default_rng(0)
    shown = 0
    for _ in range(200):
        kinds = generator.choice(3, 2000, p=[0.98, 0.01, 0.01])
        shown += p_value((kinds == 1).sum(), (kinds == 2).sum(), 2000, 0.01) <= 0.05

    assert shown > 180


@given(COUNTS)
def test_the_nuisance_has_the_greatest_likelihood_under_the_hypothesis(counts):
    better, worse, texts = counts
    margin = 0.05
    if (worse - better) / texts >= margin:
        assert p_value(*counts, margin) == 1
        return

    def unlikelihood(share):
        outcomes = [share - margin, share, 1 - 2 * share + margin]
        return -float(np.dot([better, worse, texts - better - worse], np.log(outcomes)))

    bounds = (margin + 1e-9, (1 + margin) / 2 - 1e-9)
    share = optimize.minimize_scalar(
        unlikelihood, bounds=bounds, method="bounded", options={"xatol": 1e-10}
    ).x
    variance = texts * (2 * share - margin * (margin + 1))
    expected = stats.norm.cdf((worse - better - texts * margin) / variance**0.5)

    exact = stats.binom.cdf(max(0, worse - better), texts, margin)
    assert p_value(*counts, margin) == pytest.approx(max(expected, exact), rel=1e-3, abs=1e-9)


@given(COUNTS)
def test_the_largest_loss_is_where_the_p_value_is_one_minus_the_confidence(counts):
    bound = largest_loss(*counts)

    assert max(0, (counts[1] - counts[0]) / counts[2]) <= bound
    assert p_value(*counts, bound + 1e-6) <= 0.05 + 1e-3
    assert p_value(*counts, bound - 1e-6) >= 0.05 - 1e-3 or bound <= 1e-6


@pytest.mark.parametrize(("margin", "texts"), [(0.02, 149), (0.01, 299), (0.005, 598)])
def test_without_a_loss_it_takes_as_many_texts_as_in_the_exact_test(margin, texts):
    assert texts_needed(margin) == texts
    assert p_value(0, 0, texts, margin) <= 0.05 < p_value(0, 0, texts - 1, margin)


@pytest.mark.parametrize("texts", range(1, 13))
def test_every_outcome_has_a_largest_loss_also_that_every_text_is_lost(texts):
    outcomes = [(b, w) for w in range(texts + 1) for b in range(texts + 1 - w)]

    bounds = [largest_loss(better, worse, texts) for better, worse in outcomes]

    for (better, worse), bound in zip(outcomes, bounds, strict=True):
        assert (worse - better) / texts <= bound <= 1
    assert largest_loss(0, texts, texts) == 1


@pytest.mark.parametrize(
    ("counts", "confidence"),
    [((0, 1, 2), 1 - 1e-9), ((0, 0, 1), 1 - 1e-12), ((0, 99, 100), 1 - 1e-9)],
)
def test_where_nothing_is_proved_the_largest_loss_is_all(counts, confidence):
    assert largest_loss(*counts, confidence) == pytest.approx(1)


@pytest.mark.parametrize("margin", [1e-9, 0.99999999627191, 1 - 1e-9])
def test_every_margin_has_p_values(margin):
    outcomes = [(b, w) for w in range(4) for b in range(4 - w)]

    for test in (p_value, inferiority_p_value):
        assert all(0 <= test(better, worse, 3, margin) <= 1 for better, worse in outcomes)
    assert 0 <= inferiority_p_value(0, 1, 1, margin) <= 1


def test_twenty_texts_allow_no_drop_of_two_points():
    assert largest_loss(0, 0, 20) == pytest.approx(0.139, abs=1e-3)


@pytest.mark.parametrize("steps", [[19, 9, 4, 2, 1, 0], list(range(37, -1, -1))])
@pytest.mark.parametrize("safe", [0, 3, 40])
def test_steps_from_the_safe_side_go_too_far_in_one_case_of_twenty_at_most(steps, safe):
    """From the other side, until the first that passes: 17 % with ten steps, 41 % with 38."""
    generator, texts, margin = np.random.default_rng(0), 1102, 0.02
    too_far = 0
    for _ in range(400):
        shares = [0.01, 0.01 + margin, 1 - 0.02 - margin]
        lossless = [0.01, 0.01, 0.98]
        counts = (
            generator.multinomial(texts, lossless if kept > safe else shares) for kept in steps
        )
        tests = (p_value(better, worse, texts, margin) for better, worse, _ in counts)
        passed = proved(tests, 0.05)  # as the bounds are within the margin
        too_far += passed > 0 and steps[passed - 1] <= safe

    assert too_far <= stats.binom.ppf(0.999, 400, 0.05)


def test_no_bound_is_taken_after_one_that_exceeds_the_margin():
    taken = iter([0.01, 0.02, 0.03, 0.01])

    assert proved(taken, 0.02) == 2
    assert list(taken) == [0.01]


def test_a_search_on_the_texts_that_judge_would_break_the_bound():
    """Simulated: of 20 sets of operators, each at the limit in truth, the best is kept."""
    random, texts, limit, repeats = np.random.default_rng(2), 1_000, 0.03, 400
    passed = {"searched": 0, "others": 0}
    for _ in range(repeats):
        lost = random.binomial(texts, limit, size=20)
        best = int(np.argmin(lost))
        passed["searched"] += largest_loss(0, int(lost[best]), texts) <= limit
        on_others = random.binomial(texts, limit)  # the best one in truth loses as the others do
        passed["others"] += largest_loss(0, int(on_others), texts) <= limit

    assert passed["searched"] / repeats > 0.3
    assert passed["others"] / repeats <= 0.05 + 3 * (0.05 * 0.95 / repeats) ** 0.5
