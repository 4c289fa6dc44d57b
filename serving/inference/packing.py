"""Lay out the texts of a batch in a grid: one per row, or packed several to a row. Pure."""

from bisect import bisect_left, insort
from dataclasses import dataclass
from functools import lru_cache

# Long enough for efficient matrix kernels, short enough for attention, which is quadratic in it.
ROW_TOKENS = 64
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

    Packed rows are as long as the longest text, at least 64 tokens. Texts are placed longest first,
    each in the row that it fills best (best-fit decreasing, Johnson et al. 1974).
    """
    longest = max(lengths)
    if not packed:
        return Layout(len(lengths), longest, tuple((row, 0) for row in range(len(lengths))))
    capacity = max(longest, ROW_TOKENS)
    places = [(0, 0)] * len(lengths)
    room: list[tuple[int, int]] = []  # tokens left, row; ascending
    rows = 0
    for text in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        fitting = bisect_left(room, (lengths[text], 0))
        if fitting < len(room):
            left, row = room.pop(fitting)
        else:
            left, row = capacity, rows
            rows += 1
        places[text] = (row, capacity - left)
        insort(room, (left - lengths[text], row))
    return Layout(rows, capacity - room[0][0], tuple(places))
