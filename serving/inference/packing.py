"""How the texts of one batch lie in a grid: one a row, or packed, several to a row. Pure.

It does not know what a text says, nor how a grid is run.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

# Rows of this many tokens keep matrix kernels busy, and attention, which is quadratic in a row's
# length, cheap (BENCHMARKS.md).
ROW_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Layout:
    """A grid of `rows` by `tokens`; text i starts at `places[i]`, a (row, token)."""

    rows: int
    tokens: int
    places: list[tuple[int, int]]

    @property
    def cells(self) -> int:
        """Tokens that are computed, padding included."""
        return self.rows * self.tokens


def lay_out(lengths: Sequence[int], *, packed: bool) -> Layout:
    """A place for texts of these lengths (>= 1 of them, each >= 1).

    Packed, a row holds as many as fit into the longest or 64 tokens: the longest text first, each
    where it leaves the least room (best-fit decreasing, Johnson et al. 1974).
    """
    longest = max(lengths)
    if not packed:
        return Layout(len(lengths), longest, [(row, 0) for row in range(len(lengths))])
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
    return Layout(rows, capacity - room[0][0], places)
