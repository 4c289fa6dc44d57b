"""Parses the cells of columns that divide texts into groups, for a report by group."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from models.data.bad_rows import RowError
from models.recipe import RecipeError

_LONGEST = 200
_MOST = 100


def name_in(cell: Any) -> str:
    """Return the name or number in a cell; empty if there is none, as for NaN."""
    is_nan = isinstance(cell, float) and math.isnan(cell)
    return "" if cell is None or is_nan else str(cell).strip()


def group_in(cell: Any, where: str) -> str:
    """Return the group that a cell names; empty if it is empty or not a number (NaN).

    Raises RowError naming `where` if it names none.
    """
    if isinstance(cell, list | tuple | dict):
        raise RowError(f"{where}: {cell!r} is no group: write one name or number")
    name = name_in(cell)
    if len(name) > _LONGEST:
        raise RowError(
            f"{where}: a group's name has {len(name)} characters, at most {_LONGEST} are allowed: "
            "shorten it or name another column"
        )
    return name


def check_groups(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Raise RecipeError unless each column has a group, and few enough to compare."""
    found: list[set[str]] = [set() for _ in columns]
    for row in rows:
        for groups, name in zip(found, row, strict=True):
            groups.add(name)
    for column, groups in zip(columns, found, strict=True):
        count = len(groups - {""})
        if not count:
            raise RecipeError(f"the column {column!r} is empty: no group can be reported")
        if count > _MOST:
            raise RecipeError(
                f"the column {column!r} has {count:,} different groups, at most {_MOST} can be "
                "compared: name a column with fewer, such as a region instead of an id"
            )
