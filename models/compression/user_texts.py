"""The user's tables of texts as they are, before a recipe divides them."""

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from models.compression.wanted import Wanted
from models.data.bad_rows import BadRows
from models.data.groups import name_in
from models.data.labels import OR_UNLABELLED, is_missing, no_label
from models.data.readers import ColumnMissing, TableRow, read_rows, text_in
from models.data.sources import Source
from models.data.splits import normalised
from models.recipe import RecipeError
from models.recipe_sections import ProblemType

_LABEL = "label"
SEPARATOR = ","
_USUAL_SEPARATORS = (SEPARATOR, ";", "|")


@dataclass(frozen=True)
class UserTexts:
    """The texts to learn or to answer, and how often each label occurs; none if no file has any.

    `groups` are those of the texts, which a recipe keeps in one split: equal texts without a column
    of groups. `labelled` and `unlabelled` are the files with the column of the labels and without.
    `unlabelled_rows` are those without labels, and of `--more`. `unusable` are rows that cannot be
    used, those without their one label among them.
    """

    texts: Sequence[str]
    groups: Sequence[str]
    labels: Mapping[str, int]
    problem_type: ProblemType
    labelled: tuple[Path, ...]
    unlabelled: tuple[Path, ...]
    unlabelled_rows: int
    unusable: BadRows

    def names(self, separator: str | None) -> set[str]:
        """Return the labels, which a separator divides where they are strings."""
        if not separator:
            return set(self.labels)
        return {name for label in self.labels for name in parts(label, separator)}

    def locations(self, files: Sequence[Path], recipes: Path) -> tuple[str, ...]:
        """Return files as a recipe in the folder `recipes` names them."""
        return tuple(location_in(recipes, each) for each in files)


def location_in(recipes: Path, path: Path) -> str:
    """Return a path as a recipe in the folder `recipes` names it."""
    real = path.parent.resolve() / path.name
    return Path(os.path.relpath(real, recipes.resolve())).as_posix()


def text_column(wanted: Wanted) -> str:
    """Return the usual column of the texts, or the only one that the first table may mean.

    Raises RecipeError if that is the only table and has no column of another name that is wanted.
    """
    path = wanted.data[0]
    try:
        next(read_rows(Source(path), [wanted.text], lambda row: row, BadRows()), None)
    except ColumnMissing as error:
        for option, name in (("label", wanted.label), ("group", wanted.group)):
            if name and name not in error.header and len(wanted.data) == 1:
                there = ", ".join(map(repr, error.header))
                raise RecipeError(f"--{option} {name}: {path} has only {there}") from error
        named = (wanted.label or _LABEL, wanted.group)
        left = [name for name in error.header if name not in named]
        if len(left) == 1:
            print(f"{path}: the texts are its column {left[0]!r}")
            return left[0]
    except RecipeError:  # which read_user_texts raises again
        pass
    return wanted.text


def read_user_texts(wanted: Wanted) -> UserTexts:
    """Read all tables. A file without the column of the labels counts as unlabelled.

    Raises RecipeError when a table or a column is missing, or no row can be used.
    """
    bad = BadRows()
    rows: list[_Row] = []
    without: list[_Row] = []
    labelled, unlabelled, reasons = [], [], list[str]()
    missing: RecipeError | None = None
    for path in wanted.data:
        try:
            rows += _rows(path, wanted, bad, with_label=True)
        except RecipeError as error:
            without += _rows(path, wanted, bad, with_label=False)
            missing = missing or error
            unlabelled.append(path)
            reasons.append(str(error).partition(": ")[0])
        else:
            labelled.append(path)
    if missing and wanted.label and not labelled:
        raise missing
    problem_type = _problem_type(wanted, rows)
    named = [row for row in rows if not is_missing(row.label, problem_type)]
    if wanted.missing == "unlabelled":
        without += [row for row in rows if is_missing(row.label, problem_type)]
        rows = named
    names = (each for row in named for each in _names(row.label, wanted.separator))
    labels = Counter(str(each).strip() for each in names)
    if wanted.label and not labels:
        raise RecipeError(f"--label {wanted.label}: no row has a label in this column")
    if labels:
        _add_unlabelled(rows, bad)
        for reason in reasons:
            print(f"{reason}: its texts count as unlabelled")
    else:
        rows, without, labelled, unlabelled = [*rows, *without], [], [], list(wanted.data)
    if not rows:
        bad.check()
        raise RecipeError("--data: no row has a text: name tables of texts")
    more = sum(
        len(_rows(path, replace(wanted, group=None), bad, with_label=False)) for path in wanted.more
    )
    return UserTexts(
        [row.text for row in rows],
        [row.group or normalised(row.text) for row in rows],
        labels,
        problem_type if labels else "single_label",
        tuple(labelled),
        tuple(unlabelled),
        len(without) + more,
        bad,
    )


def columns(wanted: Wanted, *, is_labelled: bool, separator: str | None) -> dict[str, str]:
    """Return the keys of [data] that say how to read a row, without those that have their default.

    `separator` is that of the labels, if a cell may have several in one string.
    """
    given = {"text": wanted.text, "label": wanted.label or _LABEL, "group": wanted.group}
    usual = {"text": "text", "label": _LABEL, "missing": "refuse"}
    given |= {"separator": separator, "missing": wanted.missing}
    return {
        name: column
        for name, column in given.items()
        if column and column != usual.get(name) and (is_labelled or name in ("text", "group"))
    }


def parts(cell: str, separator: str) -> list[str]:
    """Return the names in a cell, without those that are empty."""
    return [part.strip() for part in cell.split(separator) if part.strip()]


def check_whole(labels: Collection[str]) -> None:
    """Raise RecipeError if labels look like several names in a string: who wrote them knows.

    They do if splitting them leaves no more names than there were.
    """
    for separator in _USUAL_SEPARATORS:
        split = {name: parts(name, separator) for name in labels}
        several = [name for name, names in split.items() if len(names) > 1]
        if several and len({each for names in split.values() for each in names}) <= len(labels):
            raise RecipeError(
                f"the label {several[0]!r} looks like several: add --separator {separator!r}, or "
                "--separator '' if each cell is one label"
            )


class _Row(NamedTuple):
    text: str
    label: Any
    group: str
    where: str


def _rows(path: Path, wanted: Wanted, bad: BadRows, *, with_label: bool) -> list[_Row]:
    label = wanted.label or _LABEL
    needed = [wanted.text, *([wanted.group] if wanted.group else [])]
    needed += [label] if with_label else []

    def made_of(row: TableRow) -> _Row:
        text = text_in(row.cells[wanted.text], row.where)
        group = name_in(row.cells[wanted.group]) if wanted.group else ""
        return _Row(text, row.cells.get(label), group, row.where)

    return list(read_rows(Source(path), needed, made_of, bad))


def _add_unlabelled(rows: Sequence[_Row], bad: BadRows) -> None:
    for row in rows:
        if is_missing(row.label, "single_label"):
            bad.add(no_label(row.where, row.label, OR_UNLABELLED))


def _names(cell: Any, separator: str | None) -> Sequence[Any]:
    if isinstance(cell, str) and separator:
        return parts(cell, separator)
    if isinstance(cell, list | tuple):
        return cell
    return [cell] if str(cell).strip() else []


def _problem_type(wanted: Wanted, rows: Sequence[_Row]) -> ProblemType:
    is_multi = wanted.separator or any(isinstance(row.label, list | tuple) for row in rows)
    return "multi_label" if is_multi else "single_label"
