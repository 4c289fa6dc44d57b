from hypothesis import given
from hypothesis import strategies as st

from serving.inference.packing import ROW_TOKENS, lay_out

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
def test_packed_rows_are_no_longer_than_needed_and_all_but_one_are_over_half_full(lengths):
    layout = lay_out(lengths, packed=True)

    full = [0] * layout.rows
    for (row, _), length in zip(layout.places, lengths, strict=True):
        full[row] += length
    assert layout.tokens == max(full) <= max(ROW_TOKENS, *lengths)
    assert sum(2 * tokens <= max(ROW_TOKENS, *lengths) for tokens in full) <= 1
