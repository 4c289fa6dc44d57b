"""Lay out the texts of a batch in a grid: one per row, or packed several to a row. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import heapify, heapreplace

# In a row of so many tokens attention, which is quadratic, costs as much as all else. Measured with
# 100, 300 and 1000 on int8 and fp32 encoders of 2 to 6 layers: 300 is within 2 % of the best.
_ATTENTION_TOKENS = 300
# A batch's layout is needed to predict its time and again to feed the engine, with at most one
# batch per slot in between.
_CACHED_LAYOUTS = 256


@dataclass(frozen=True, slots=True)
class Layout:
    """A grid of `rows` by `tokens`; text i starts at `places[i]`, a (row, token)."""

    rows: int
    tokens: int
    places: tuple[tuple[int, int], ...]

    @property
    def cells(self) -> int:
        """The number of computed tokens, padding included."""
        return self.rows * self.tokens


@lru_cache(_CACHED_LAYOUTS)
def lay_out(lengths: tuple[int, ...], *, packed: bool) -> Layout:
    """Place texts of these lengths (at least one, each >= 1) in a grid.

    Packed texts are spread evenly over about as many rows as would hold them at the length of the
    longest: one more or one fewer where that grid costs less.
    """
    longest = max(lengths)
    if not packed:
        return Layout(len(lengths), longest, tuple((row, 0) for row in range(len(lengths))))
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    total = sum(lengths)
    usual = -(-total // longest)
    fewest, most = max(1, usual - 1), min(len(lengths), usual + 1)
    best = _spread(lengths, order, fewest)
    for rows in range(fewest + 1, most + 1):
        least_tokens = max(longest, -(-total // rows))
        if _cost(rows, least_tokens) < _cost(best.rows, best.tokens):
            layout = _spread(lengths, order, rows)
            if _cost(rows, layout.tokens) < _cost(best.rows, best.tokens):
                best = layout
    return best


def _spread(lengths: Sequence[int], order: Sequence[int], rows: int) -> Layout:
    """Place each text, longest first, in the emptiest row (LPT, Graham 1969)."""
    places = [(0, 0)] * len(lengths)
    ends = []
    for row, text in enumerate(order[:rows]):
        places[text] = (row, 0)
        ends.append((lengths[text], row))
    tokens = ends[0][0]
    heapify(ends)
    for text in order[rows:]:
        start, row = ends[0]
        places[text] = (row, start)
        end = start + lengths[text]
        heapreplace(ends, (end, row))
        if end > tokens:  # noqa: PLR1730  no call
            tokens = end
    return Layout(rows, tokens, tuple(places))


def _cost(rows: int, tokens: int) -> int:
    return rows * tokens * (_ATTENTION_TOKENS + tokens)
