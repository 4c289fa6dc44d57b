from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.labelled import LabelSet
from models.evaluation.figures import SplitPredictions, bands, figures
from serving.bundles.evaluation import Evaluation

ONE = LabelSet(("bad", "good", "so-so"), "single_label")
ANY = LabelSet(("fast", "cheap"), "multi_label")


def predictions(truth, logits, flipped=()):
    truth, logits = np.array(truth, dtype=bool), np.array(logits, dtype=float)
    batched = logits >= 0
    if truth.shape[1] == 3:
        batched = np.eye(3, dtype=bool)[logits.argmax(axis=1)]
    batched[list(flipped)] = np.roll(batched[list(flipped)], 1, axis=1)
    return SplitPredictions(truth, logits, batched, list(range(3, 3 + len(truth))))


def evaluation(*arguments):
    return Evaluation(split_sha256="0" * 64, **figures(*arguments))


def test_one_label_a_text_gives_a_confusion_matrix_and_figures_that_agree_with_it():
    truth = np.eye(3)[[0, 0, 0, 1, 1, 2]]
    logits = 4 * np.eye(3)[[0, 0, 1, 1, 1, 0]]

    found = evaluation(predictions(truth, logits, flipped=[5]), ONE, 1.0, {})

    assert found.confusion == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert found.accuracy.value == pytest.approx(4 / 6)
    assert found.labels["bad"].precision == pytest.approx(2 / 3)
    assert found.labels["bad"].recall == pytest.approx(2 / 3)
    assert found.labels["good"].recall == 1
    assert found.labels["so-so"].f1 == 0
    assert found.batch_flips.value == pytest.approx(1 / 6)
    assert found.agreement is None
    assert found.versus == {}


def test_with_several_labels_a_text_is_right_when_all_of_them_are():
    truth = [[1, 1], [1, 0], [0, 0], [0, 1]]
    logits = [[2, 3], [1, 1], [-1, -2], [-1, 2]]

    found = evaluation(predictions(truth, logits), ANY, 1.0, {})

    assert found.accuracy.value == pytest.approx(3 / 4)
    assert found.confusion is None
    assert found.labels["cheap"].precision == pytest.approx(2 / 3)
    assert found.labels["fast"].f1 == 1


def test_others_are_compared_on_the_same_texts_and_the_first_is_the_teacher():
    truth = np.eye(3)[[0, 1, 2, 0]]
    mine = predictions(truth, 3 * np.eye(3)[[0, 1, 2, 1]])
    teacher, parent = np.eye(3, dtype=bool)[[0, 1, 2, 0]], np.eye(3, dtype=bool)[[1, 1, 2, 1]]

    found = evaluation(mine, ONE, 1.0, {"teacher": teacher, "parent": parent})

    assert found.agreement.value == pytest.approx(3 / 4)
    assert (found.versus["teacher"].better, found.versus["teacher"].worse) == (0, 1)
    assert (found.versus["parent"].better, found.versus["parent"].worse) == (1, 0)


def test_a_temperature_changes_how_sure_the_answers_are_and_nothing_else():
    truth = np.eye(3)[[0, 1, 2, 0] * 5]
    sure = predictions(truth, 9 * np.eye(3)[[0, 1, 1, 1] * 5])

    raw, tempered = evaluation(sure, ONE, 1.0, {}), evaluation(sure, ONE, 9.0, {})

    assert tempered.accuracy == raw.accuracy
    assert tempered.uncalibrated_error == raw.uncalibrated_error
    assert tempered.expected_calibration_error.value < raw.expected_calibration_error.value
    assert tempered.negative_log_likelihood.value < raw.negative_log_likelihood.value


@given(st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=60))
def test_bands_of_length_hold_each_text_once_and_do_not_overlap(texts):
    lengths, hits = zip(*texts, strict=True)

    found = bands(lengths, np.array(hits))

    assert 1 <= len(found) <= 4
    assert sum(band.n for band in found) == len(texts)
    assert sum(round(band.accuracy.value * band.n) for band in found) == sum(hits)
    for shorter, longer in pairwise(found):
        assert shorter.longest < longer.shortest


@pytest.mark.parametrize(("count", "has_one"), [(256, True), (257, False)])
def test_a_confusion_matrix_that_would_fill_the_manifest_is_left_out(count, has_one):
    kind = LabelSet(tuple(map(str, range(count))), "single_label")
    right = np.eye(count)[[0, count - 1]]
    found = SplitPredictions(right.astype(bool), 4 * right, right.astype(bool), [3, 4])

    assert (evaluation(found, kind, 1.0, {}).confusion is not None) == has_one
