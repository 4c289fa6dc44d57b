"""Batches of a mix of lengths, in either layout."""

from itertools import chain, islice, pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.inference.usual_mix import USUAL_LENGTHS, by_length, in_order

LENGTHS = st.lists(st.integers(1, 80), min_size=1, max_size=30)


def seconds(texts, length):
    return 1e-3 + 1e-4 * texts * length


@given(LENGTHS, st.integers(1, 200))
def test_batches_in_order_are_full_up_to_the_budget_and_lose_no_text(lengths, budget):
    batches = list(in_order(lengths, budget))

    assert list(chain.from_iterable(batches)) == lengths
    for batch in batches:
        assert len(batch) == 1 or sum(batch) <= budget
    for batch, after in pairwise(batches):
        assert sum(batch) + after[0] > budget


def test_batches_in_order_are_made_of_an_endless_stream():
    def endless():
        while True:
            yield from USUAL_LENGTHS

    assert sum(map(sum, islice(in_order(endless(), 64), 4))) > 64


@given(LENGTHS, st.integers(1, 300))
def test_batches_by_length_are_of_neighbours_within_the_padded_budget(lengths, budget):
    batches = by_length(lengths, budget, seconds)

    assert list(chain.from_iterable(batches)) == sorted(lengths)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(batch) <= budget


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(20, 100))
def test_no_other_batches_are_predicted_to_be_faster(lengths, budget):
    def cost(batches):
        return sum(seconds(len(batch), max(batch)) for batch in batches)

    def cuts(texts):
        if not texts:
            yield []
        for stop in range(1, len(texts) + 1):
            if stop == 1 or stop * max(texts[:stop]) <= budget:
                yield from ([texts[:stop], *rest] for rest in cuts(texts[stop:]))

    best_s = min(cost(batches) for order in permutations(lengths) for batches in cuts(order))

    assert cost(by_length(lengths, budget, seconds)) == pytest.approx(best_s)
