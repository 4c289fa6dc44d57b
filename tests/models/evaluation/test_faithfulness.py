"""Curves of deletion and insertion, and agreement of two models' contributions."""

import numpy as np
import pytest

from models.evaluation.faithfulness import (
    RANDOM_ORDERS,
    SHARES,
    STEPS,
    advantages,
    curve_rows,
    rank_correlation,
    reported,
    top_overlap,
)

WEIGHTS = np.array([0.0, 3.0, -1.0, 0.5, 0.0, 1.0, 0.25])


def test_curves_go_from_all_words_to_none_and_back_in_the_order_of_contributions():
    rows = curve_rows(np.array([0.1, 0.3, -0.2, 0.2]), seed=1)

    assert rows.shape == (1 + RANDOM_ORDERS, 2, STEPS + 1, 4)
    deletion, insertion = rows[0]
    assert deletion[0].all()
    assert not deletion[-1].any()
    assert (insertion == ~deletion).all()
    assert deletion[STEPS // 2].tolist() == [True, False, True, False]
    assert (np.diff(rows[:, 0].sum(axis=-1)) <= 0).all()
    assert (curve_rows(WEIGHTS, 2) == curve_rows(WEIGHTS, 2)).all()
    assert (curve_rows(WEIGHTS, 2) != curve_rows(WEIGHTS, 3)).any()


@pytest.mark.parametrize("seed", range(5))
def test_the_true_order_beats_random_ones_and_the_reverse_is_beaten(seed):
    right, wrong = (
        advantages(curve_rows(claimed, seed) @ WEIGHTS) for claimed in (WEIGHTS, -WEIGHTS)
    )

    assert (right > 0).all()
    assert (wrong < 0).all()


def test_a_model_that_ignores_words_gives_no_order_an_advantage():
    assert advantages(np.full((1 + RANDOM_ORDERS, 2, STEPS + 1), 0.7)) == pytest.approx([0, 0])


def test_reported_are_the_explanations_order_and_the_mean_of_the_random_ones():
    scores = np.random.default_rng(3).random((1 + RANDOM_ORDERS, 2, STEPS + 1))
    found = reported(scores)

    assert found.shape == (2, 2, len(SHARES))
    assert found[0, 1, 0] == scores[0, 1, 0]
    assert found[0, 0, SHARES.index(0.25)] == scores[0, 0, 5]
    assert found[1, 0, -1] == pytest.approx(scores[1:, 0, -1].mean())


def test_agreement_counts_ranks_and_the_largest_by_size():
    other = np.array([0.1, 3.0, -2.0, 0.5, 0.0, 1.0])

    assert rank_correlation(other * 2, other) == pytest.approx(1)
    assert rank_correlation(-other, other) == pytest.approx(-1)
    assert rank_correlation(np.zeros(6), other) is None
    assert top_overlap(-other, other) == 1
    assert top_overlap(np.array([9.0, 8, 1, 7, 0, 0]), other) == pytest.approx(1 / 3)
    assert top_overlap(np.array([1.0, 0]), np.array([0, 1.0])) == 1
