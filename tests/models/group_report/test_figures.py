"""Which texts count for which figure, and which groups are too small."""

import numpy as np
import pytest

from models.group_report.figures import FEWEST, Answers, figures

LABELS = ["negative", "positive"]


def answers(truth, predictions, labels=LABELS, *, multi_label=False):
    truth, predictions = np.array(truth, dtype=bool), np.array(predictions, dtype=bool)
    return Answers(labels, truth, predictions, np.ones(len(truth), dtype=bool), multi_label)


def binary(truth, given):
    return answers(np.eye(2)[truth], np.eye(2)[given])


TRUTH = np.tile([0, 1], 200)
GROUPS = ["north"] * 200 + ["south"] * 190 + ["east"] * 8 + [""] * 2


def by_measure(columns):
    (column,) = columns
    return {(each.measure, each.label): each for each in column.measures}


def test_figures_are_those_that_are_counted_by_group():
    given = TRUTH.copy()
    given[np.flatnonzero((TRUTH == 1) & (np.arange(400) >= 200))[:19]] = 0  # 19 of 95 in the south
    found = figures(
        {"teacher": binary(TRUTH, TRUTH), "small": binary(TRUTH, given)},
        {"region": GROUPS},
        "teacher",
    )

    teacher, small = by_measure(found["teacher"]), by_measure(found["small"])
    accuracy = small["accuracy", None]
    assert [(each.group, each.n, each.value.value) for each in accuracy.groups] == [
        ("north", 200, 1.0), ("south", 190, 0.9),
    ]  # fmt: skip
    assert [(each.group, each.n) for each in accuracy.too_small] == [("east", 8)]
    assert accuracy.gap.value == pytest.approx(0.1)
    assert [each.change.value for each in accuracy.groups] == pytest.approx([0.0, -0.1])
    assert accuracy.change_gap.low > 0
    recall = small["recall", "positive"]
    assert [(each.n, each.value.value) for each in recall.groups] == [(100, 1.0), (95, 0.8)]
    wrong = small["false_positive_rate", "negative"]
    assert [each.value.value for each in wrong.groups] == pytest.approx([0.0, 0.2])
    assert small["recall", "negative"].gap.value == 0.0
    assert teacher["accuracy", None].gap.value == 0.0
    assert teacher["accuracy", None].change_gap is None
    assert all(each.change is None for each in teacher["accuracy", None].groups)


def test_labels_count_by_their_names_and_only_where_there_are_two_or_any_number():
    swapped = Answers(
        LABELS[::-1], np.eye(2, dtype=bool)[1 - TRUTH], np.eye(2, dtype=bool)[1 - TRUTH],
        np.ones(400, dtype=bool), False,
    )  # fmt: skip
    found = figures({"a": binary(TRUTH, TRUTH), "b": swapped}, {"region": GROUPS}, "a")
    recall = by_measure(found["b"])["recall", "positive"]
    assert [each.change.value for each in recall.groups] == [0.0, 0.0]

    three = answers(np.eye(3)[TRUTH], np.eye(3)[TRUTH], ["a", "b", "c"])
    assert list(by_measure(figures({"a": three}, {"r": GROUPS}, "a")["a"])) == [("accuracy", None)]
    many = answers(np.eye(3)[TRUTH], np.eye(3)[TRUTH], ["a", "b", "c"], multi_label=True)
    found = by_measure(figures({"a": many}, {"r": GROUPS}, "a")["a"])
    assert len(found) == 7
    # No text has the label c: nothing is said of its recall.
    assert found["recall", "c"].groups == []
    assert [each.n for each in found["recall", "c"].too_small] == [0, 0, 0]


def test_a_text_without_an_answer_is_not_right():
    truth = np.zeros((2 * FEWEST, 1), dtype=bool)
    silent = Answers(["a"], truth, truth, np.arange(2 * FEWEST) >= FEWEST, multi_label=True)
    groups = ["x"] * FEWEST + ["y"] * FEWEST
    accuracy = by_measure(figures({"v": silent}, {"g": groups}, "v")["v"])["accuracy", None]

    assert {each.group: each.value.value for each in accuracy.groups} == {"x": 0.0, "y": 1.0}


def test_a_single_group_has_no_gap():
    found = figures({"v": binary(TRUTH, TRUTH)}, {"g": ["x"] * 400}, "v")["v"]

    assert all(each.gap is None for each in by_measure(found).values())
