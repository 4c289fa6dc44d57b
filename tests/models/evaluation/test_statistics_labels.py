"""Scores by label are scikit-learn's."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import f1_score, precision_recall_fscore_support

from models.data.labelled import LabelSet
from models.evaluation.figures import SplitPredictions, figures
from models.evaluation.statistics import bootstrapped, label_scores, macro_f1

SHAPES = st.tuples(st.integers(1, 30), st.integers(2, 8))
ANY_LABELS = SHAPES.flatmap(
    lambda shape: st.tuples(arrays.arrays(bool, shape), arrays.arrays(bool, shape))
)


def flags(numbers, labels):
    return np.eye(labels, dtype=bool)[numbers]


def one_label(shape):
    texts, labels = shape
    numbers = arrays.arrays(np.int64, texts, elements=st.integers(0, labels - 1))
    return st.tuples(numbers, numbers).map(lambda pair: [flags(each, labels) for each in pair])


def expected_macro(truth, answers):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of no label
        return f1_score(truth, answers, average="macro", zero_division=np.nan)


@given(ANY_LABELS | SHAPES.flatmap(one_label))
def test_macro_f1_is_that_of_scikit_learn_without_labels_that_nobody_has_or_gets(pair):
    truth, answers = pair

    assert macro_f1(truth, answers) == pytest.approx(expected_macro(truth, answers), nan_ok=True)


@given(SHAPES.flatmap(one_label))
def test_of_one_label_a_text_macro_f1_is_scikit_learn_s_without_any_option(pair):
    truth, answers = (each.argmax(axis=1) for each in pair)

    assert macro_f1(*pair) == pytest.approx(f1_score(truth, answers, average="macro"))


@given(ANY_LABELS | SHAPES.flatmap(one_label))
def test_precision_recall_and_f1_of_each_label_are_those_of_scikit_learn(pair):
    truth, answers = pair
    names = [str(number) for number in range(truth.shape[1])]

    columns = precision_recall_fscore_support(truth, answers, zero_division=np.nan)
    found = label_scores(truth, answers, names).values()

    for label, *expected in zip(found, *columns, strict=True):
        own = [np.nan if x is None else x for x in (label.precision, label.recall, label.f1)]
        assert own == pytest.approx(expected[:3], nan_ok=True)
        assert label.texts == expected[3]


def test_of_52_labels_those_that_no_text_has_or_gets_raise_no_mean():
    """As of Reuters-52 by naive Bayes: a few frequent labels, and many that are never answered."""
    generator = np.random.default_rng(0)
    shares = 1 / np.arange(1, 53) ** 1.8
    truth = generator.choice(52, 1000, p=shares / shares.sum())
    answers = np.where(generator.random(1000) < 0.7, truth, 0)
    answers[answers > 12] = 0
    pair = flags(truth, 52), flags(answers, 52)

    unused = sum(
        score.f1 is None for score in label_scores(*pair, list(map(str, range(52)))).values()
    )

    assert unused > 5
    assert macro_f1(*pair) == pytest.approx(f1_score(truth, answers, average="macro"))


def test_a_split_without_any_label_has_no_macro_f1_and_one_with_few_has_an_interval():
    nothing = np.zeros((4, 2), dtype=bool)
    labels = LabelSet(("fast", "cheap"), "multi_label")
    found = figures(SplitPredictions(nothing, nothing - 1.0, nothing, [3] * 4), labels, 1.0, {})
    rare = np.zeros((30, 2), dtype=bool)
    rare[0, 0] = True

    assert found["macro_f1"] is None
    assert bootstrapped(lambda at: macro_f1(rare[at], rare[at]), 30).high == 1
