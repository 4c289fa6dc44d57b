import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.inference.packing import lay_out

LENGTHS = st.lists(st.one_of(st.integers(1, 40), st.integers(1, 512)), min_size=1, max_size=60).map(
    tuple
)


def cells_of(layout, lengths):
    return [
        (row, start + offset)
        for (row, start), length in zip(layout.places, lengths, strict=True)
        for offset in range(length)
    ]


@given(LENGTHS, st.booleans())
def test_every_token_has_a_cell_of_its_own_within_the_grid(lengths, packed):
    layout = lay_out(lengths, packed=packed)

    cells = cells_of(layout, lengths)
    assert len(set(cells)) == len(cells) == sum(lengths)
    assert all(0 <= row < layout.rows and 0 <= at < layout.tokens for row, at in cells)


@given(LENGTHS)
def test_padded_texts_start_rows_of_the_longest(lengths):
    layout = lay_out(lengths, packed=False)

    assert layout.places == tuple((row, 0) for row in range(len(lengths)))
    assert layout.tokens == max(lengths)


@given(LENGTHS)
def test_the_grid_is_the_cheapest_of_those_with_about_as_many_rows_as_needed(lengths):
    def tokens_of(rows):
        ends = [0] * rows
        for length in sorted(lengths, reverse=True):
            ends[ends.index(min(ends))] += length
        return max(ends)

    usual = -(-sum(lengths) // max(lengths))
    choices = range(max(1, usual - 1), min(len(lengths), usual + 1) + 1)
    grids = [(rows, tokens_of(rows)) for rows in choices]
    layout = lay_out(lengths, packed=True)

    cheapest = min(grids, key=lambda grid: grid[0] * grid[1] * (300 + grid[1]))
    assert (layout.rows, layout.tokens) == cheapest


@given(LENGTHS)
def test_packed_rows_are_filled_evenly(lengths):
    layout = lay_out(lengths, packed=True)

    full = [0] * layout.rows
    for (row, _), length in zip(layout.places, lengths, strict=True):
        full[row] += length
    assert layout.tokens == max(full)
    assert min(full) > 0
    # Each text went to the emptiest row, so that rows differ by one text at most.
    assert max(full) - min(full) <= max(lengths)


@pytest.mark.parametrize(
    ("lengths", "rows", "tokens"),
    [
        ((20, 52), 1, 72),
        ((30, 30), 2, 30),
        ((50, 24, 26), 2, 50),
        ((200, 10, 10), 1, 220),
        ((8,) * 9, 9, 8),
    ],
)
def test_the_cheaper_grid_is_taken(lengths, rows, tokens):
    layout = lay_out(lengths, packed=True)

    assert (layout.rows, layout.tokens) == (rows, tokens)


@given(st.lists(st.integers(6, 60), min_size=4, max_size=40).map(tuple))
def test_padding_stays_small(lengths):
    """Rows of a fixed 64 tokens wasted a fifth of the cells of four texts."""
    assert lay_out(lengths, packed=True).cells <= 1.5 * sum(lengths)
