"""Reads a table of texts (TSV, CSV, JSON Lines, Parquet or a `datasets` data set) row by row."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from models.data.bad_rows import BadRows, RowError
from models.data.sources import Source
from models.data.text_files import FOUND_OUT, TableFormat, delimiter_of, read_table_text
from models.recipe import RecipeError
from serving.bundles.files import open_file

_LONGEST_CELL = 2**31 - 1
_DEFAULT_SPLIT = "train"
_NAME_COLUMNS = "name the columns with `text` and `label` in [data], or with --text and --label"
RENAME_COLUMNS = "rename columns of the table"
"""What to do about a column that is missing, where nobody can name another one."""
_Made = TypeVar("_Made")


class ColumnMissing(RecipeError):
    """A table has no column of a name; `header` are those that it has."""

    def __init__(self, message: str, header: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.header = header


@dataclass(frozen=True)
class TableRow:
    """One row's cells by column name; `where` tells the user which row it is."""

    where: str
    cells: Mapping[str, Any]


def read_rows(
    source: Source,
    columns: Sequence[str],
    made_of: Callable[[TableRow], _Made],
    bad: BadRows,
    form: TableFormat = FOUND_OUT,
    *,
    if_missing: str = _NAME_COLUMNS,
) -> Iterator[_Made]:
    """Yield what `made_of` makes of each row of a table, in order, each with at least `columns`.

    A row of which it raises RowError, or that is no row at all, is added to `bad` instead. Raises
    RecipeError naming file, line and remedy when the table is missing, unreadable or empty, or
    lacks a column (ColumnMissing), for which `if_missing` is the remedy.
    """
    if source.path is None or source.path.is_dir():
        rows: Iterator[TableRow | RowError] = _read_data_set(source, columns)
    else:
        reader = _READERS.get(source.path.suffix.lower())
        if reader is None:
            raise RecipeError(
                f"{source.path} is not a table of a known format: save it as one of "
                f"{', '.join(_READERS)}"
            )
        rows = reader(source.path, columns, form)
    count = 0
    for row in _named(rows, if_missing):
        count += 1
        if isinstance(row, RowError):
            bad.add(row)
            continue
        try:
            made = made_of(row)
        except RowError as error:
            bad.add(error)
        else:
            yield made
    if not count:
        raise RecipeError(f"{source} has no rows: add texts or remove it from the recipe")


def _named(rows: Iterator[TableRow | RowError], if_missing: str) -> Iterator[TableRow | RowError]:
    try:
        yield from rows
    except ColumnMissing as error:
        raise ColumnMissing(f"{error}: {if_missing}", error.header) from error


def text_in(cell: Any, where: str) -> str:
    """Return a cell's text, stripped. Raises RowError naming `where` if there is none."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        raise RowError(f"{where}: empty text: fill it in or delete the row")
    if not isinstance(cell, str):
        raise RowError(f"{where}: {cell!r} is not a text: put it in quotes or delete the row")
    return cell.strip()


def _read_tsv(
    path: Path, columns: Sequence[str], form: TableFormat
) -> Iterator[TableRow | RowError]:
    """TSV as registered with IANA: no quoting, no tab or line break in a cell."""
    text = read_table_text(path, form.encoding)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    return _read_separated(path, columns, lines, "a cell contains a tab: save the file as CSV")


def _read_csv(
    path: Path, columns: Sequence[str], form: TableFormat
) -> Iterator[TableRow | RowError]:
    """CSV by RFC 4180: a quoted cell may contain commas, doubled quotes and line breaks."""
    text = read_table_text(path, form.encoding)
    delimiter = form.delimiter or delimiter_of(path, text, columns)
    lines = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    return _read_separated(path, columns, lines, f"put quotes around cells with {delimiter!r}")


def _read_separated(
    path: Path, columns: Sequence[str], lines: Any, remedy: str
) -> Iterator[TableRow | RowError]:
    # For the whole process; the default of 131,072 characters is less than a long document.
    csv.field_size_limit(_LONGEST_CELL)
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
                yield RowError(
                    f"{where}: {len(cells)} cells, but the header has {len(header)}: "
                    f"{remedy if len(cells) > len(header) else cut}"
                )
            else:
                yield TableRow(where, dict(zip(header, cells, strict=True)))
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
            raise ColumnMissing(
                f"{path} has no column {name!r}, only {', '.join(map(repr, header))}", header
            )


def _read_json_lines(
    path: Path, columns: Sequence[str], form: TableFormat
) -> Iterator[TableRow | RowError]:
    text = read_table_text(path, form.encoding)
    is_known = False
    first: ColumnMissing | None = None
    lacking: list[str] = []
    end = "\n" if "\n" in text else "\r"
    for number, line in enumerate(text.split(end), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            cells = json.loads(line)
        except json.JSONDecodeError as error:
            yield RowError(
                f"{where} is not JSON ({error.msg} at character {error.pos + 1}): "
                "write each object completely on one line"
            )
            continue
        except RecursionError:
            yield RowError(f"{where} is nested too deeply: write one object of texts on each line")
            continue
        if not isinstance(cells, dict):
            yield RowError(
                f"{where} is not a JSON object: write one on each line, such as "
                '{"text": "...", "label": "..."}'
            )
            continue
        try:
            _check_columns(where, columns, list(cells))
        except ColumnMissing as error:
            first = first or ColumnMissing(str(error), error.header)
            lacking.append(str(error))
        else:
            is_known = True
            yield TableRow(where, cells)
        if is_known:
            yield from (RowError(f"{error}: complete or delete the row") for error in lacking)
            lacking.clear()
    if first and not is_known:  # rather than these rows the recipe's columns are wrong
        raise first


def _read_parquet(path: Path, columns: Sequence[str], _form: TableFormat) -> Iterator[TableRow]:
    import pyarrow as pa  # noqa: PLC0415 (only a user's own data may need it)
    from pyarrow import parquet  # noqa: PLC0415

    try:
        with open_file(path) as opened, parquet.ParquetFile(opened) as file:
            _check_columns(path, columns, file.schema_arrow.names)
            number = 0
            for batch in file.iter_batches(columns=list(columns)):
                for cells in batch.to_pylist():
                    number += 1
                    yield TableRow(f"{path}, row {number}", cells)
    except (OSError, pa.ArrowException) as error:
        raise RecipeError(f"{path} is not a Parquet file ({error}): write it again") from error


def _read_data_set(source: Source, columns: Sequence[str]) -> Iterator[TableRow]:
    """A folder that `datasets` saved or can load, or a data set on the hub."""
    import datasets  # noqa: PLC0415 (slow to import, and only a user's own data may need it)

    split = source.split or _DEFAULT_SPLIT
    try:
        if source.path and any(source.path.glob("dataset_*.json")):
            loaded = datasets.load_from_disk(source.name)
            data = loaded[split] if isinstance(loaded, datasets.DatasetDict) else loaded
        else:
            data = datasets.load_dataset(source.name, source.config, split=split)
    except Exception as error:  # datasets raises many bare types
        raise RecipeError(
            f"{source}: datasets cannot load the split {split!r}: {error}: check the name, "
            "`#CONFIG` and `:SPLIT` after it, and the network"
        ) from error
    _check_columns(source, columns, data.column_names)
    for number, cells in enumerate(data.select_columns(list(columns)), start=1):
        named = {name: _label_named(cell, data.features[name]) for name, cell in cells.items()}
        yield TableRow(f"{source}, {split}, row {number}", named)


def _label_named(cell: Any, feature: Any) -> Any:
    """The name of a ClassLabel's number; of a list, all names."""
    inner = getattr(feature, "feature", None)
    if inner is not None and isinstance(cell, list):
        return [_label_named(each, inner) for each in cell]
    is_known = hasattr(feature, "int2str") and isinstance(cell, int) and cell >= 0
    return feature.int2str(cell) if is_known else cell


_Reader = Callable[[Path, Sequence[str], TableFormat], Iterator[TableRow | RowError]]
_READERS: dict[str, _Reader] = {
    ".tsv": _read_tsv,
    ".csv": _read_csv,
    ".jsonl": _read_json_lines,
    ".parquet": _read_parquet,
}
