"""A table of whole numbers: rows that are found by their key, and added to in place."""

from collections.abc import Mapping
from operator import add
from time import time

Key = tuple[str | int, ...]
Row = list[int]
Sums = Mapping[str, Mapping[Key, Row]]
"""The rows of each table that have changed, by the table's name."""


class Table(dict[Key, Row]):
    """Rows by key; asking for a new key adds its row. `created` are Unix times."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.created: dict[Key, float] = {}
        self._width = width

    def __missing__(self, key: Key) -> Row:
        """Add a row of zeros."""
        row = self[key] = [0] * self._width
        self.created.setdefault(key, time())
        return row

    def merge(self, key: Key, into: Key) -> None:
        """Add a row, if it is there, to another one, and remove it."""
        if row := self.pop(key, None):
            created = self.created.pop(key)
            self[into][:] = map(add, self[into], row)
            self.created[into] = min(created, self.created[into])

    def remove(self, key: Key) -> Row:
        """Remove and return a row."""
        del self.created[key]
        return self.pop(key)

    def take(self) -> dict[Key, Row]:
        """Remove and return all rows."""
        rows = dict(self)
        self.clear()
        self.created.clear()
        return rows
