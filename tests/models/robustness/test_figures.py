"""Right, flipped and lost answers, with one label and with several."""

from dataclasses import replace

import numpy as np
import pytest

from models.evaluation.predictions import probabilities
from models.evaluation.statistics import calibration_error
from models.robustness.figures import Answered, Condition, figures, negations

CONDITIONS = [Condition("typos", 0.1, 1.0), Condition("case", 1.0, 0.5)]


def of_labels(*rows):
    """Logits whose largest is at these labels."""
    return np.stack([np.eye(2)[list(row)] for row in rows])


TRUTH = np.eye(2, dtype=np.bool_)[[0, 0, 1, 1]]
TEACHER = Answered(TRUTH, of_labels([0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 1, 1]), "single_label", 1.0)
SMALL = Answered(TRUTH, of_labels([0, 1, 1, 1], [1, 0, 0, 0], [0, 1, 1, 1]), "single_label", 2.0)


def test_accuracy_flips_and_gap_are_those_that_are_counted():
    found = figures({"teacher": TEACHER, "small": SMALL}, CONDITIONS, "teacher")

    teacher, small = found["teacher"], found["small"]
    assert (teacher.accuracy.value, small.accuracy.value) == (1.0, 0.75)
    assert [each.accuracy.value for each in teacher.conditions] == [0.75, 1.0]
    assert [each.accuracy.value for each in small.conditions] == [0.25, 0.75]
    assert [each.flips.value for each in small.conditions] == [1.0, 0.0]
    assert [each.gap for each in teacher.conditions] == [None, None]
    # 0.5 is lost by the small one, 0.25 by the teacher.
    assert [each.gap.value for each in small.conditions] == [0.25, 0.0]
    assert [(each.kind, each.altered) for each in small.conditions] == [
        ("typos", 1.0),
        ("case", 0.5),
    ]
    row = probabilities(SMALL.logits[1], "single_label", 2.0)
    expected = calibration_error(TRUTH, row, single_label=True)
    assert small.conditions[0].calibration_error.value == pytest.approx(expected, abs=1e-5)


def test_the_largest_drop_is_that_of_a_kind_that_keeps_the_meaning():
    logits = of_labels([0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0])
    worst = Condition("word-order", 1.0, 1.0)
    one = Answered(TRUTH, logits, "single_label", 1.0)

    found = figures({"one": one}, [*CONDITIONS, worst], "one")["one"].largest_drop
    without = figures({"one": replace(one, logits=logits[[0, 3]])}, [worst], "one")["one"]

    assert (found.kind, found.strength, found.drop.value) == ("typos", 0.1, 0.25)
    assert found.drop.high > 0.25
    assert without.largest_drop is None


def test_intervals_of_drops_do_not_widen_by_kinds_that_may_change_the_meaning():
    both = [*CONDITIONS, Condition("truncation", 0.5, 1.0)]
    logits = of_labels([0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1])
    whole = Answered(TRUTH, logits, "single_label", 1.0)

    more = figures({"one": whole}, both, "one")["one"].largest_drop
    fewer = figures({"one": replace(whole, logits=logits[:3])}, CONDITIONS, "one")["one"]

    assert more == fewer.largest_drop


def test_a_text_without_an_answer_is_neither_right_nor_unchanged():
    logits = TEACHER.logits.copy()
    logits[1, 0] = np.nan
    found = figures(
        {"teacher": Answered(TRUTH, logits, "single_label", 1.0)}, CONDITIONS, "teacher"
    )

    (first, second) = found["teacher"].conditions
    assert (first.accuracy.value, first.flips.value) == (0.5, 0.5)
    assert second.flips.value == 0.0


def test_with_several_labels_all_of_them_count():
    truth = np.array([[True, True], [False, False]])
    logits = np.array([[[1, 1], [-1, -1]], [[1, -1], [-1, -1]]], dtype=np.float64)
    found = figures({"only": Answered(truth, logits, "multi_label", 1.0)}, CONDITIONS[:1], "only")[
        "only"
    ]

    assert (found.accuracy.value, found.conditions[0].accuracy.value) == (1.0, 0.5)
    assert found.conditions[0].flips.value == 0.5


def test_pairs_flip_if_the_answers_differ_and_are_right_if_both_are():
    yes, no = np.eye(2, dtype=np.bool_)
    answers = (np.stack([yes, yes, no, no]), np.stack([no, yes, yes, no]))
    found = negations(answers, (np.stack([yes] * 4), np.stack([no] * 4)))

    assert (found.pairs, found.flipped, found.right) == (4, 0.5, 0.25)
