"""Bounds the series of callers: those with the most requests have their own, the others share one.

It works when the page is scraped, so a request costs the same however many callers there are.
"""

from operator import add, sub

from serving.observability.counters import SERVED_TEXTS
from serving.observability.table import Key, Row, Table

MOST_CALLERS = 50
# No caller of the callers file can have the name.
OTHERS = ("_other",)
_KEPT = 0.99
"""The weight that a scrape leaves to what was counted before it: half after 69 scrapes."""
_FORGOTTEN = 0.5
_ODDS = 2.0
"""How much busier than a caller with a series one without must be to take its place."""


class TopCallers:
    """Chooses the callers that keep their rows.

    A caller that loses its series leaves what was published of it out of the others' sum: that sum
    only grows by what happens, so its rate is right.
    """

    def __init__(self, most: int = MOST_CALLERS) -> None:
        """`most` is the number of callers besides the others."""
        self._most = most
        self._lately: dict[Key, float] = {}
        """Requests of each caller, those of earlier scrapes counting less."""
        self._published: dict[Key, Row] = {}

    def fold(self, table: Table) -> None:
        """Add up the callers with the fewest requests, if there are too many."""
        lately, published = self._lately, self._published
        for key in lately:
            lately[key] *= _KEPT
        for key, row in table.items():
            before = sum(published[key][:SERVED_TEXTS]) if key in published else 0
            lately[key] = lately.get(key, 0.0) + sum(row[:SERVED_TEXTS]) - before
        named = [key for key in table if key != OTHERS]
        if len(named) > self._most:
            named.sort(key=lambda key: lately[key] * (_ODDS if key in published else 1.0))
            for key in named[: -self._most]:
                row = table.remove(key)
                grown = map(sub, row, published.get(key, [0] * len(row)))
                table[OTHERS][:] = map(add, table[OTHERS], grown)
        self._published = {key: list(row) for key, row in table.items()}
        for key in [each for each in lately if each not in table and lately[each] < _FORGOTTEN]:
            del lately[key]
