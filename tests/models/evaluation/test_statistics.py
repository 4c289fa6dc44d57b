from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from models.evaluation.statistics import (
    bootstrapped,
    brier_scores,
    calibrated_error,
    calibration_error,
    correct,
    log_losses,
    paired,
    proportion,
)

flags = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=20))
pairs_of_flags = st.tuples(st.integers(1, 30), st.integers(1, 4)).flatmap(
    lambda shape: st.tuples(arrays.arrays(bool, shape), arrays.arrays(bool, shape))
)
hits = st.integers(1, 60).flatmap(
    lambda n: st.tuples(arrays.arrays(bool, n), arrays.arrays(bool, n))
)


@given(st.integers(0, 60), st.integers(1, 60))
def test_a_proportion_s_interval_is_where_the_tails_hold_2_5_percent(hits, size):
    hits = min(hits, size)

    estimate = proportion(np.arange(size) < hits)

    assert estimate.value == hits / size
    if hits > 0:
        assert stats.binom.sf(hits - 1, size, estimate.low) == pytest.approx(0.025, abs=1e-6)
    else:
        assert estimate.low == 0
    if hits < size:
        assert stats.binom.cdf(hits, size, estimate.high) == pytest.approx(0.025, abs=1e-6)
    else:
        assert estimate.high == 1


def test_a_proportion_of_nothing_is_refused():
    with pytest.raises(ValueError, match="empty"):
        proportion(np.zeros(0, dtype=bool))


def test_the_bootstrap_of_a_mean_agrees_with_theory_and_is_the_same_every_time():
    values = np.random.default_rng(7).normal(size=400)

    first = bootstrapped(lambda at: float(values[at].mean()), 400)
    second = bootstrapped(lambda at: float(values[at].mean()), 400)

    assert first == second
    error = values.std() / 20
    assert first.low == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
    assert first.high == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)


@given(pairs_of_flags)
def test_a_text_is_right_when_all_its_labels_are(pair):
    truth, answers = pair

    expected = [list(a) == list(b) for a, b in zip(truth, answers, strict=True)]

    assert correct(truth, answers).tolist() == expected


@given(hits)
def test_mcnemar_counts_every_way_the_discordant_texts_could_have_fallen(pair):
    mine, other = (column[:12] for column in pair)

    found = paired(mine, other)

    discordant = found.better + found.worse
    farther = sum(
        1
        for size in range(discordant + 1)
        for _ in combinations(range(discordant), size)
        if abs(2 * size - discordant) >= abs(found.better - found.worse)
    )
    assert found.p_value == pytest.approx(farther / 2**discordant)
    assert found.difference.value == pytest.approx((found.better - found.worse) / len(mine))


@pytest.mark.slow
@given(hits)
def test_a_paired_comparison_is_the_mirror_of_itself(pair):
    forth, back = paired(*pair), paired(*reversed(pair))

    assert (forth.better, forth.worse) == (back.worse, back.better)
    assert forth.p_value == pytest.approx(back.p_value)
    assert forth.difference.value == pytest.approx(-back.difference.value)
    assert forth.difference.low == pytest.approx(-back.difference.high, abs=0.05)


def test_a_calibrated_model_has_no_calibration_error_and_a_boaster_has_all_of_it():
    confident = np.array([[0.0, 1.0]] * 10)
    fair = np.array([[0.2, 0.8]] * 10)
    wrong = np.array([[True, False]] * 10)
    eight_right = np.array([[False, True]] * 8 + [[True, False]] * 2)

    assert calibration_error(~wrong, confident, single_label=True) == 0
    assert calibration_error(wrong, confident, single_label=True) == 1
    assert calibration_error(eight_right, fair, single_label=True) == pytest.approx(0)
    assert calibration_error(eight_right, fair, single_label=False) == pytest.approx(0)


@pytest.mark.parametrize("single_label", [True, False])
def test_the_error_of_a_calibrated_model_is_what_calibrated_models_have_by_chance(single_label):
    generator = np.random.default_rng(1)
    draws = generator.beta(2, 2, (200, 500, 2))
    if single_label:
        draws[..., 1] = 1 - draws[..., 0]
    errors = []
    for chances in draws:
        truth = generator.random((500, 2)) < chances
        if single_label:
            truth[:, 1] = ~truth[:, 0]
        errors.append(calibration_error(truth, chances, single_label=single_label))

    expected = calibrated_error(draws[0], single_label=single_label)

    assert np.mean(errors) > 0.02
    assert expected.value == pytest.approx(np.mean(errors), rel=0.1)
    inside = np.mean([expected.low <= error <= expected.high for error in errors])
    assert inside == pytest.approx(0.95, abs=0.05)


@given(flags)
def test_brier_and_loss_are_least_for_the_truth_itself(truth):
    certain = truth.astype(float)

    assert (brier_scores(truth, certain) == 0).all()
    assert (brier_scores(truth, 1 - certain) == truth.shape[1]).all()
    assert (log_losses(truth, certain, single_label=False) < 1e-9).all()
    assert (log_losses(truth, np.full(truth.shape, 0.5), single_label=False) > 0).all()


def test_the_loss_of_one_label_is_that_of_the_true_one_alone():
    truth = np.array([[True, False, False]])

    loss = log_losses(truth, np.array([[0.5, 0.3, 0.2]]), single_label=True)

    assert loss.tolist() == [pytest.approx(np.log(2))]
