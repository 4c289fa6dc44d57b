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
from models.evaluation.statistics import label_scores, macro_f1

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


def macro_value(truth, answers):
    found = macro_f1(truth, answers, resamples=1)
    return np.nan if found is None else found.value


def expected_macro(truth, answers):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of no label
        return f1_score(truth, answers, average="macro", zero_division=np.nan)


@given(ANY_LABELS | SHAPES.flatmap(one_label))
def test_macro_f1_is_that_of_scikit_learn_without_labels_that_nobody_has_or_gets(pair):
    truth, answers = pair

    expected = pytest.approx(expected_macro(truth, answers), nan_ok=True)
    assert macro_value(truth, answers) == expected


@given(SHAPES.flatmap(one_label))
def test_of_one_label_a_text_macro_f1_is_scikit_learn_s_without_any_option(pair):
    truth, answers = (each.argmax(axis=1) for each in pair)

    assert macro_value(*pair) == pytest.approx(f1_score(truth, answers, average="macro"))


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
    assert macro_value(*pair) == pytest.approx(f1_score(truth, answers, average="macro"))


def test_a_split_without_any_label_has_no_macro_f1_and_one_with_few_has_an_interval():
    nothing = np.zeros((4, 2), dtype=bool)
    labels = LabelSet(("fast", "cheap"), "multi_label")
    found = figures(SplitPredictions(nothing, nothing - 1.0, nothing, [3] * 4), labels, 1.0, {})
    rare = np.zeros((30, 2), dtype=bool)
    rare[0, 0] = True

    assert found["macro_f1"] is None
    assert macro_f1(rare, rare).high == 1
    assert macro_f1(rare, rare).low == 0  # of one text nothing is known


def answered(generator, texts, labels):
    """Truth, answers and the expected F1 of labels by Zipf's law; the rarer the worse."""
    shares = 1 / np.arange(1, labels + 1)
    right = np.linspace(0.9, 0.4, labels)
    joint = np.diag(right * shares)
    for label in range(labels):
        others = np.where(np.arange(labels) == label, 0, shares)
        joint[label] += shares[label] * (1 - right[label]) * others / others.sum()
    joint /= joint.sum()
    drawn = generator.choice(labels**2, texts, p=joint.ravel())
    f1 = 2 * np.diag(joint) / (joint.sum(axis=0) + joint.sum(axis=1))
    return *(flags(numbers, labels) for numbers in np.divmod(drawn, labels)), f1


@pytest.mark.slow
def test_the_interval_of_macro_f1_holds_its_expectation_though_labels_are_rare():
    """Percentiles of resamples in which labels were left out held it in 77 % of the draws."""
    generator, held = np.random.default_rng(0), 0
    for _ in range(40):
        truth, answers, f1 = answered(generator, 400, 30)
        found = macro_f1(truth, answers)
        held += found.low <= f1[(truth | answers).any(axis=0)].mean() <= found.high

    assert held >= 36
