"""Parses a label cell: one name, several names, or a number that falls into a bin."""

import math
from typing import Any

from models.recipe import RecipeError
from models.recipe_sections import DataSection


def names_in(cell: Any, section: DataSection, where: str) -> tuple[str, ...] | None:
    """Return the label names in a cell, sorted; None if its number falls into no bin.

    Raises RecipeError naming `where` when the cell has no usable label.
    """
    if section.bins is not None:
        return _binned(cell, section.bins, where)
    if section.problem_type == "single_label":
        if isinstance(cell, list | tuple):
            raise RecipeError(
                f'{where}: the label is a list: set `problem_type = "multi_label"` in [data]'
            )
        return (_name(cell, section, where),)
    if isinstance(cell, str):
        if section.separator is None:
            raise RecipeError(
                f"{where}: the labels are one string: set the `separator` between them in [data]"
            )
        cell = [part.strip() for part in cell.split(section.separator) if part.strip()]
    if not isinstance(cell, list | tuple):
        raise RecipeError(f"{where}: the labels {cell!r} are not a list: write a list of names")
    return tuple(sorted({_name(each, section, where) for each in cell}))


def _name(cell: Any, section: DataSection, where: str) -> str:
    """A label's name; a number is an index into the recipe's `labels` unless these are numbers."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, bool):
        cell = str(cell).lower()
    if not isinstance(cell, str | int) or not str(cell).strip():
        raise RecipeError(
            f"{where}: the label {cell!r} is neither a name nor a whole number: "
            "correct or delete the row"
        )
    name = str(cell).strip()
    known = section.labels or ()
    if (
        not any(other.isdecimal() for other in known)
        and name.isdecimal()
        and int(name) < len(known)
    ):
        return known[int(name)]
    return name


def _binned(cell: Any, bins: dict[str, tuple[float, float]], where: str) -> tuple[str, ...] | None:
    try:
        number = math.nan if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise RecipeError(
            f"{where}: {cell!r} is not a number, so it has no bin: correct or delete the row"
        )
    of_number = [name for name, (low, high) in bins.items() if low <= number <= high]
    return (max(of_number, key=lambda name: bins[name]),) if of_number else None
