import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from models.intervals import bootstrapped, expected_calibration_error, macro_f1, proportion

labels = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=50)


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


@given(labels)
def test_a_bootstrapped_interval_holds_its_figure(pairs):
    truth, answers = (np.array(column) for column in zip(*pairs, strict=True))

    estimate = bootstrapped(lambda at: macro_f1(truth[at], answers[at], 3), len(pairs), 20)

    assert estimate.low <= estimate.value <= estimate.high


@given(labels)
def test_macro_f1_is_the_mean_of_precision_and_recall_s_harmonic_means(pairs):
    truth, answers = (np.array(column) for column in zip(*pairs, strict=True))
    scores = []
    for label in range(3):
        right = ((truth == label) & (answers == label)).sum()
        claimed, existing = (answers == label).sum(), (truth == label).sum()
        if claimed + existing == 0:
            scores.append(1.0)
        elif right == 0:
            scores.append(0.0)
        else:
            precision, recall = right / claimed, right / existing
            scores.append(2 * precision * recall / (precision + recall))

    assert macro_f1(truth, answers, 3) == pytest.approx(np.mean(scores))


def test_a_calibrated_model_has_no_calibration_error_and_a_boaster_has_all_of_it():
    confident = np.array([[0.0, 1.0]] * 10)
    fair = np.array([[0.2, 0.8]] * 10)
    eight_right = np.array([1] * 8 + [0] * 2)

    assert expected_calibration_error(np.ones(10, dtype=int), confident) == 0
    assert expected_calibration_error(np.zeros(10, dtype=int), confident) == 1
    assert expected_calibration_error(eight_right, fair) == pytest.approx(0)
