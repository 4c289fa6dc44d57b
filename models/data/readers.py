"""Reads a table of texts (TSV, CSV, JSON Lines, Parquet or a `datasets` data set) row by row.

It does not know what its columns mean; every refusal names the file, the line and the remedy.
"""

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.data.sources import Place
from models.recipe import RecipeError

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_DEFAULT_SPLIT = "train"


@dataclass(frozen=True)
class Row:
    """The cells of one row by column name; `where` names it to the user."""

    where: str
    cells: Mapping[str, Any]


def read_rows(place: Place, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a table, each with at least `columns`, in order.

    Raises RecipeError when the table is missing, unreadable, empty or has no such column.
    """
    if place.path is None or place.path.is_dir():
        rows = _read_data_set(place, columns)
    else:
        reader = _READERS.get(place.path.suffix.lower())
        if reader is None:
            raise RecipeError(
                f"{place.path} is no table that can be read: save it as one of "
                f"{', '.join(_READERS)}"
            )
        rows = reader(place.path, columns)
    count = 0
    for row in rows:
        count += 1
        yield row
    if not count:
        raise RecipeError(f"{place} holds no row: add texts or take it out of the recipe")


def _read_text(path: Path) -> str:
    content = path.read_bytes()
    if not content.strip():
        raise RecipeError(f"{path} is empty: add texts or take it out of the recipe")
    if content.startswith(_UTF_16) or b"\0" in content:
        raise RecipeError(f"{path} is binary or UTF-16: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RecipeError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8: "
            "save the whole file in one encoding, UTF-8"
        ) from error


def _read_tsv(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Tab-separated as IANA registers it: no quoting, no tab or line break in a cell."""
    lines = csv.reader(
        io.StringIO(_read_text(path), newline=""), delimiter="\t", quoting=csv.QUOTE_NONE
    )
    return _read_separated(path, columns, lines, "a cell holds a tab: save the file as CSV")


def _read_csv(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """As RFC 4180 says: a quoted cell may hold commas, doubled quotes and line breaks."""
    lines = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)
    return _read_separated(path, columns, lines, "put quotes around a cell that holds a comma")


def _read_separated(path: Path, columns: Sequence[str], lines: Any, remedy: str) -> Iterator[Row]:
    header: list[str] | None = None
    line = 1
    try:
        for cells in lines:
            where, line = f"{path}, line {line}", lines.line_num + 1
            if not cells:
                continue
            if header is None:
                header = cells
                _check_columns(path, columns, header)
            elif len(cells) != len(header):
                cut = "the row is cut short: complete or delete it"
                raise RecipeError(
                    f"{where}: {len(cells)} cells where the header has {len(header)}: "
                    f"{remedy if len(cells) > len(header) else cut}"
                )
            else:
                yield Row(where, dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise RecipeError(
            f"{path}, line {line}: {error}: check the quotes from this line on"
        ) from error


def _check_columns(path: object, wanted: Sequence[str], header: Sequence[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise RecipeError(f"{path} has two columns named {twice[0]!r}: rename or delete one")
    for name in wanted:
        if name not in header:
            raise RecipeError(
                f"{path} has no column {name!r} but {', '.join(map(repr, header))}: "
                "say in [data] which is `text` and which is `label`"
            )


def _read_json_lines(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            cells = json.loads(line)
        except json.JSONDecodeError as error:
            raise RecipeError(
                f"{where} is not JSON ({error.msg} at character {error.pos + 1}): "
                "write each object whole, on a line of its own"
            ) from error
        if not isinstance(cells, dict):
            raise RecipeError(
                f"{where} is no JSON object: write one a line, such as "
                '{"text": "...", "label": "..."}'
            )
        _check_columns(where, columns, list(cells))
        yield Row(where, cells)


def _read_parquet(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    import pyarrow as pa  # noqa: PLC0415 (only a user's own data may need it)
    from pyarrow import parquet  # noqa: PLC0415

    try:
        file = parquet.ParquetFile(path)
        _check_columns(path, columns, file.schema_arrow.names)
        number = 0
        for batch in file.iter_batches(columns=list(columns)):
            for cells in batch.to_pylist():
                number += 1
                yield Row(f"{path}, row {number}", cells)
    except (OSError, pa.ArrowException) as error:
        raise RecipeError(f"{path} is not a Parquet file ({error}): write it again") from error


def _read_data_set(place: Place, columns: Sequence[str]) -> Iterator[Row]:
    """A folder that `datasets` saved or can load, or a data set of the hub."""
    import datasets  # noqa: PLC0415 (slow to import, and only a user's own data may need it)

    split = place.split or _DEFAULT_SPLIT
    try:
        if place.path and any(place.path.glob("dataset_*.json")):
            loaded = datasets.load_from_disk(place.name)
            data = loaded[split] if isinstance(loaded, datasets.DatasetDict) else loaded
        else:
            data = datasets.load_dataset(place.name, place.config, split=split)
    except Exception as error:  # datasets raises many bare types
        raise RecipeError(
            f"{place}: datasets cannot load split {split!r}: {error}: check the name, the "
            "`#CONFIG` and `:SPLIT` after it, and the network"
        ) from error
    _check_columns(place, columns, data.column_names)
    for number, cells in enumerate(data.select_columns(list(columns)), start=1):
        named = {name: _named(cell, data.features[name]) for name, cell in cells.items()}
        yield Row(f"{place}, {split}, row {number}", named)


def _named(cell: Any, feature: Any) -> Any:
    """The name of a ClassLabel's number, the names of a list of them."""
    inner = getattr(feature, "feature", None)
    if inner is not None and isinstance(cell, list):
        return [_named(each, inner) for each in cell]
    is_known = hasattr(feature, "int2str") and isinstance(cell, int) and cell >= 0
    return feature.int2str(cell) if is_known else cell


_READERS: dict[str, Callable[[Path, Sequence[str]], Iterator[Row]]] = {
    ".tsv": _read_tsv,
    ".csv": _read_csv,
    ".jsonl": _read_json_lines,
    ".parquet": _read_parquet,
}
