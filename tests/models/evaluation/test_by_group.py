"""Means by group and the gaps between them: exact where that is known, and what they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation import simultaneous
from models.evaluation.by_group import Cell, gaps, means, shares

SIZES = st.lists(st.integers(2, 60), min_size=2, max_size=5)


def cells_of(sizes, rates, generator):
    """Cells of texts in a row, whose values are 1 at these rates."""
    ends = np.cumsum(sizes)
    return [
        Cell(np.arange(end - size, end), (generator.random(size) < rate).astype(float))
        for end, size, rate in zip(ends, sizes, rates, strict=True)
    ]


@settings(max_examples=25)
@given(SIZES, st.integers(0, 2**31))
def test_an_interval_holds_its_value_and_the_gap_is_that_of_the_extremes(sizes, seed):
    generator = np.random.default_rng(seed)
    cells = cells_of(sizes, generator.random(len(sizes)), generator)
    found = [cell.values.mean() for cell in cells]
    (gap,) = gaps([cells], sum(sizes), 0.0)

    assert gap.value == pytest.approx(max(found) - min(found), abs=1e-5)
    assert 0 <= gap.low <= gap.value <= gap.high <= 1
    for each, value in zip(means(cells, sum(sizes), 0.0), found, strict=True):
        assert each.value == pytest.approx(value, abs=1e-5)


@settings(max_examples=25)
@given(SIZES, st.integers(0, 2**31), st.randoms(use_true_random=False))
def test_the_order_of_groups_is_nothing(sizes, seed, chosen):
    generator = np.random.default_rng(seed)
    cells = cells_of(sizes, generator.random(len(sizes)), generator)
    (before,) = gaps([cells], sum(sizes), 0.0)
    chosen.shuffle(cells)
    (after,) = gaps([cells], sum(sizes), 0.0)

    assert after.model_dump() == pytest.approx(before.model_dump(), abs=2e-5)


def test_shares_of_groups_of_one_size_are_those_of_all_texts():
    generator = np.random.default_rng(0)
    hits = generator.random((3, 40)) < 0.7
    cells = [Cell(np.arange(40), row.astype(float)) for row in hits]

    assert shares(cells) == simultaneous.shares(hits)


def test_groups_without_an_error_leave_a_gap_possible():
    cells = [Cell(np.arange(60), np.ones(60)), Cell(np.arange(60, 120), np.ones(60))]
    (gap,) = gaps([cells], 120, 0.0)

    assert (gap.low, gap.value) == (0.0, 0.0)
    assert 0.01 < gap.high < 0.15


def test_many_comparisons_have_wider_intervals_than_one():
    generator = np.random.default_rng(3)
    families = [cells_of([100] * 4, [0.8] * 4, generator) for _ in range(10)]
    alone, together = gaps(families[:1], 400, 0.0)[0], gaps(families, 400, 0.0)[0]

    assert together.high > alone.high


def test_in_95_of_100_sets_of_texts_all_gaps_that_were_put_in_are_within_their_intervals():
    """200 seeds: two models that err alike on three groups, each with a gap of its own."""
    rates = np.array([[0.95, 0.9, 0.8], [0.9, 0.9, 0.7]])
    sizes, kept, shown = [400, 200, 100], 0, 0
    for seed in range(200):
        chance = np.random.default_rng(seed).random(sum(sizes))
        families = []
        for row in rates:
            hits = (chance < np.repeat(row, sizes)).astype(float)
            ends = np.cumsum(sizes)
            families.append(
                [
                    Cell(np.arange(end - size, end), hits[end - size : end])
                    for end, size in zip(ends, sizes, strict=True)
                ]
            )
        found = gaps(families, sum(sizes), 0.0)
        true = rates.max(axis=1) - rates.min(axis=1)
        kept += all(each.low <= gap <= each.high for each, gap in zip(found, true, strict=True))
        shown += found[1].low > 0

    # At a true coverage of 95 %, fewer than 184 of 200 are seen once in a hundred times.
    assert kept >= 184
    assert shown >= 150
