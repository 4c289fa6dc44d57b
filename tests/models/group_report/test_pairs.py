"""Flips and shifts of pairs, counted by hand, and a bias that was put in."""

import numpy as np
import pytest

from models.group_report.pairs import PairAnswers, figures

LABELS = ["no", "yes"]


def logits(*sides):
    """Of one swap: the logit of `yes` for each pair, that of `no` being 0."""
    return np.array([[[[0.0, yes] for yes in side] for side in sides]])


def test_flips_and_shifts_are_those_that_are_counted():
    teacher = PairAnswers(logits([1, -1, 1, 1], [1, -1, -1, 1]), "single_label", 1.0)
    small = PairAnswers(logits([1, -1, 1, 1], [-1, 1, -1, 1]), "single_label", 1.0)

    found = figures({"teacher": teacher, "small": small}, {"names": 0.5}, LABELS, "teacher")

    (one,), (other,) = found["teacher"], found["small"]
    assert (one.swap, one.first, one.inside) == ("names", "white-sounding", 0.5)
    assert (one.flips.value, one.excess) == (0.25, None)
    assert (other.flips.value, other.excess.value) == (0.75, 0.5)
    step = 1 / (1 + np.exp(-1)) - 1 / (1 + np.exp(1))
    no, yes = one.shifts
    assert yes.shift.value == pytest.approx(-step / 4, abs=1e-5)
    assert no.shift.value == pytest.approx(step / 4, abs=1e-5)
    assert (yes.label, yes.excess) == ("yes", None)
    # Of the small one two fall and one rises, of the teacher's one falls.
    assert other.shifts[1].shift.value == pytest.approx(-step / 4, abs=1e-5)
    assert other.shifts[1].excess.value == pytest.approx(0.0, abs=1e-5)


def test_a_text_without_an_answer_flips_and_does_not_shift():
    sides = logits([1, 1], [1, 1])
    sides[0, 1, 0] = np.nan

    (found,) = figures(
        {"one": PairAnswers(sides, "single_label", 1.0)}, {"names": 0.0}, LABELS, "one"
    )["one"]

    assert found.flips.value == 0.5
    assert [each.shift.value for each in found.shifts] == [0.0, 0.0]


def test_a_bias_that_was_put_in_lies_within_the_intervals_of_40_draws():
    """One pair in twenty flips, to either side alike, so that no score shifts on average."""
    generator, within = np.random.default_rng(0), 0
    for _ in range(40):
        first = np.where(generator.random(300) < 0.5, 1.0, -1.0)
        second = np.where(generator.random(300) < 0.05, -first, first)
        shifted = second + generator.normal(0, 0.1, 300)
        answers = PairAnswers(logits(first, shifted), "single_label", 1.0)
        (found,) = figures({"one": answers}, {"names": 0.0}, LABELS, "one")["one"]
        shift = found.shifts[1].shift
        within += found.flips.low <= 0.05 <= found.flips.high and shift.low <= 0 <= shift.high

    assert within >= 36
