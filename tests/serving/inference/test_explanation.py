"""The axioms of contributions, on models whose Shapley values are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.inference.explanation import grouped_words, most_groups, perturbed, plan
from serving.inference.words import words_of

METHODS = ["occlusion", "shapley"]
CASES = st.integers(2, 60).flatmap(
    lambda budget: st.tuples(
        st.just(budget), st.integers(0, most_groups("shapley", budget)), st.integers(0, 9)
    )
)


@given(CASES)
@settings(deadline=None)
def test_shapley_contributions_sum_to_the_score_without_the_base_score_of_any_model(case):
    budget, groups, seed = case
    planned = plan("shapley", groups, budget)
    scores = np.random.default_rng(seed).normal(size=len(planned.kept))

    assert len(planned.kept) <= budget
    assert planned.contributions(scores).sum() == pytest.approx(scores[0] - scores[planned.base])


@given(CASES, st.sampled_from(METHODS))
@settings(deadline=None)
def test_a_linear_model_is_recovered_exactly(case, method):
    budget, groups, seed = case
    planned = plan(method, min(groups, most_groups(method, budget)), budget)
    weights = np.random.default_rng(seed).normal(size=planned.kept.shape[1])
    scores = 0.3 + planned.kept @ weights

    assert len(planned.kept) <= budget
    assert planned.contributions(scores) == pytest.approx(weights)
    assert planned.r2(scores, weights) == pytest.approx(1)


@pytest.mark.parametrize("budget", [16, 64, 200])
@pytest.mark.parametrize("groups", [4, 5, 8])
def test_where_two_groups_interact_each_gets_half_and_equal_ones_the_same(groups, budget):
    planned = plan("shapley", groups, budget)
    kept = planned.kept.astype(float)
    scores = kept[:, 0] * kept[:, 1] + kept[:, 2] + kept[:, 3]

    expected = [0.5, 0.5, 1, 1] + [0] * (groups - 4)
    assert planned.contributions(scores) == pytest.approx(expected, abs=1e-12)


def test_with_room_for_every_subset_any_symmetric_model_gets_equal_contributions():
    planned = plan("shapley", 6, 64)
    scores = (planned.kept.sum(axis=1) >= 4).astype(float)

    assert len(planned.kept) == 64
    assert planned.contributions(scores) == pytest.approx(np.full(6, 1 / 6))


@pytest.mark.parametrize("method", METHODS)
def test_rows_are_all_groups_then_different_subsets_and_base_is_none(method):
    planned = plan(method, 9, 40)

    assert planned.kept[0].all()
    assert not planned.kept[planned.base].any()
    assert len(np.unique(planned.kept, axis=0)) == len(planned.kept)
    assert (plan(method, 9, 40).kept == planned.kept).all()


def test_r2_tells_a_model_that_a_sum_explains_badly():
    planned = plan("shapley", 4, 16)
    scores = (planned.kept.sum(axis=1) % 2).astype(float)

    assert planned.r2(scores, planned.contributions(scores)) < 0.1
    assert planned.r2(np.full(16, 0.5), np.zeros(4)) == 1


@pytest.mark.parametrize("most", [1, 2, 3, 5, 99])
def test_neighbours_share_a_group_and_no_word_is_lost(most):
    words = words_of("one two three four five")

    groups = grouped_words(words, most)

    assert [word for group in groups for word in group] == words
    assert len(groups) == min(most, 5)
    assert max(map(len, groups)) - min(map(len, groups)) <= 1
    assert grouped_words([], most) == []


def test_the_full_row_is_the_text_as_sent_and_others_lack_their_words():
    text = "  not  good "
    groups = grouped_words(words_of(text), 2)

    kept = np.array([[True, True], [False, True], [True, False], [False, False]])
    assert perturbed(text, groups, kept) == [text, "good", "not", ""]


def test_the_words_of_the_largest_contributions_come_first_with_offsets_into_the_text():
    text = "a good, bad film"
    groups = grouped_words(words_of(text), 3)
    planned = plan("occlusion", 3, 5)
    scores = 0.1 + planned.kept @ np.array([0.1, -0.4, 0.2])

    found = planned.explanation(text, groups, "positive", scores, 2)

    assert [(each.text, each.start, each.end) for each in found.words] == [
        ("good,", 2, 7),
        ("bad film", 8, 16),
    ]
    assert [each.contribution for each in found.words] == pytest.approx([-0.4, 0.2])
    assert found.score == pytest.approx(0.0)
    assert found.base_score == pytest.approx(0.1)
    assert (found.label, found.method, found.evaluations) == ("positive", "occlusion", 5)
