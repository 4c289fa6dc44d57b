"""Intervals of many figures hold together as often as they promise."""

import numpy as np
import pytest
from scipy import stats

from models.evaluation import simultaneous


def test_one_share_has_the_exact_interval_and_many_have_wider_ones():
    hits = np.arange(200) < 150
    exact = stats.binomtest(150, 200).proportion_ci(0.95, method="exact")

    (alone,) = simultaneous.shares(hits[None])
    first, *_ = simultaneous.shares(np.stack([hits] * 50))

    assert (alone.low, alone.high) == pytest.approx((exact.low, exact.high), abs=1e-5)
    assert first.value == alone.value == 0.75
    assert first.low < alone.low
    assert first.high > alone.high


def test_shares_of_none_and_all_have_an_end_and_a_bound():
    none, every = simultaneous.shares(np.stack([np.zeros(100, np.bool_), np.ones(100, np.bool_)]))

    assert none.low == none.value == 0.0
    assert 0.03 < none.high < 0.06
    assert every.high == every.value == 1.0
    assert every.low == pytest.approx(1 - none.high, abs=1e-5)


def drawn(generator, texts, rates):
    """Paired losses of two variants, (rates, texts): what is hard for one is hard for both."""
    hard = generator.random(texts)
    rows = []
    for mine, other in rates:
        lost = (0.7 * hard + 0.3 * generator.random((2, texts))) < np.array([[mine], [other]])
        rows.append(lost[0].astype(np.float64) - lost[1])
    return np.stack(rows)


RATES = [
    (0.0, 0.0),
    (0.02, 0.0),
    (0.05, 0.05),
    *[(x, 0.8 * x) for x in np.geomspace(0.05, 0.5, 17)],
]


def test_all_means_are_covered_together_as_often_as_promised_and_not_by_intervals_of_one_each():
    """The benchmark stress_coverage repeats this more often, with other numbers of texts."""
    truth = drawn(np.random.default_rng(1), 200_000, RATES).mean(axis=1)
    generator = np.random.default_rng(2)
    together = single = 0
    for _ in range(100):
        values = drawn(generator, 150, RATES)
        apart = np.abs(values.mean(axis=1) - truth)
        found = simultaneous.means(values)
        reach = np.array([each.high - each.value for each in found])
        together += bool((apart <= reach).all())
        single += bool((apart <= 1.96 * values.std(axis=1) / np.sqrt(150)).all())

    # 95 less three standard errors.
    assert together >= 89
    assert single < 70


def test_a_difference_that_no_text_shows_has_an_interval_of_some_width():
    (none,) = simultaneous.means(np.zeros((1, 500)))

    assert none.low < 0.0 < none.high < 0.02


def test_figures_of_resamples_have_intervals_that_hold_together():
    generator = np.random.default_rng(3)
    truth = np.full(20, 0.5)
    together = 0
    for _ in range(25):
        values = generator.random((20, 200))
        found = simultaneous.figures(lambda at, its=values: its[:, at].mean(axis=1), 200)
        together += all(e.low <= t <= e.high for e, t in zip(found, truth, strict=True))

    assert together >= 21


def test_a_figure_that_never_varies_has_no_width():
    found = simultaneous.figures(lambda at: np.array([0.25, at.mean()]), 50)

    assert (found[0].low, found[0].high) == (0.25, 0.25)
    assert found[1].low < found[1].value < found[1].high
