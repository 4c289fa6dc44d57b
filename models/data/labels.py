"""Parses a label cell: one name, several names, or a number that falls into a bin."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from models.data.bad_rows import RowError
from models.data.section import DataSection
from models.recipe import RecipeError
from models.recipe_sections import ProblemType
from serving.bundles.files import listed

OR_UNLABELLED = ', or set `missing = "unlabelled"` in [data] (compress: --missing unlabelled)'


def names_in(
    cell: Any, section: DataSection, where: str, or_else: str = ""
) -> tuple[str, ...] | None:
    """Return the label names in a cell, sorted; None if the text counts as unlabelled.

    That is so if its number falls into no bin, or if it has none and `missing` allows that. Raises
    RowError naming `where` when the cell has no usable label, RecipeError if none will have. What
    may be done about a label that is missing, other than to correct the table, is `or_else`.
    """
    named = {*(section.labels or ()), *section.rename}
    is_none = is_missing(cell, section.problem_type, named)
    if is_none and section.missing == "unlabelled":
        return None
    if section.bins is not None:
        return _binned(cell, section.bins, where)
    if section.problem_type == "single_label":
        if isinstance(cell, list | tuple):
            raise RecipeError(
                f'{where}: the label is a list: set `problem_type = "multi_label"` in [data]'
            )
        if is_none:
            raise no_label(where, cell, or_else)
        return (_name(cell, section, where),)
    if isinstance(cell, str):
        if section.separator is None:
            raise RecipeError(
                f"{where}: the labels are one string: set the `separator` between them in [data]"
            )
        cell = [part.strip() for part in cell.split(section.separator) if part.strip()]
    if not isinstance(cell, list | tuple):
        raise RowError(f"{where}: the labels {cell!r} are not a list: write a list of names")
    return tuple(sorted({_name(each, section, where) for each in cell}))


def no_label(where: str, cell: Any, or_else: str) -> RowError:
    """Return the error of a row without a label; `or_else` as of names_in."""
    said = f"the label is missing ({cell!r}): fill it in or delete the row"
    return RowError(f"{where}: {said}{or_else}")


def unknown_label(where: str, name: str, names: Sequence[str], owner: str) -> str:
    """Return the sentence that refuses a row whose label is not among the `owner`'s names."""
    return f"{where}: {name!r} is not one of {owner} ({listed(names)}): correct the row"


def labels_by_number(names: Iterable[str], known: Sequence[str]) -> dict[str, str]:
    """Return the `known` label that each name is the number of, from 0.

    It is empty unless all names are such numbers, and where known labels are numbers themselves.
    """
    numbers = {name: _plain(name) for name in names}
    if any(label.isdecimal() for label in known) or not all(
        number.isdecimal() and int(number) < len(known) for number in numbers.values()
    ):
        return {}
    return {name: known[int(number)] for name, number in numbers.items()}


def is_missing(cell: Any, problem_type: ProblemType, named: Collection[str] = ()) -> bool:
    """Return whether a cell has no label: empty, or NaN unless that is among those `named`.

    An empty cell of several labels has none of them.
    """
    if not isinstance(cell, str):
        return cell is None or (isinstance(cell, float) and math.isnan(cell))
    none = {"nan"} if problem_type == "multi_label" else {"nan", ""}
    return cell.strip().casefold() in none and cell.strip() not in named


def alike(names: Iterable[str]) -> list[list[str]]:
    """Return groups of names that differ in case, in blanks, or as `1` and `1.0` only.

    `1.0` is a group by itself, since what wrote it may have meant `1`.
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(_plain(name), []).append(name)
    return [each for plain, each in groups.items() if len(each) > 1 or _is_padded(each[0], plain)]


def _plain(name: str) -> str:
    folded = " ".join(name.casefold().split())
    try:
        number = float(folded)
    except ValueError:
        return folded
    return f"{number:g}" if math.isfinite(number) else folded


def _is_padded(name: str, plain: str) -> bool:
    return plain.lstrip("-").isdecimal() and name != plain and "." in name


def _name(cell: Any, section: DataSection, where: str) -> str:
    """A label's name; a number is an index into the recipe's `labels` unless these are numbers."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, bool):
        cell = str(cell).lower()
    if not isinstance(cell, str | int) or not str(cell).strip():
        raise RowError(
            f"{where}: the label {cell!r} is neither a name nor a whole number: "
            "correct or delete the row"
        )
    name = str(cell).strip()
    name = section.rename.get(name, name)
    return labels_by_number([name], section.labels or ()).get(name, name)


def _binned(cell: Any, bins: dict[str, tuple[float, float]], where: str) -> tuple[str, ...] | None:
    try:
        number = math.nan if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise RowError(
            f"{where}: {cell!r} is not a number, so it has no bin: correct or delete the row"
        )
    of_number = [name for name, (low, high) in bins.items() if low <= number <= high]
    return (max(of_number, key=lambda name: bins[name]),) if of_number else None
