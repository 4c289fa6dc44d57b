"""Reads a table of texts (TSV, CSV, JSON Lines, Parquet or a `datasets` data set) row by row."""

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.data.sources import Source
from models.recipe import RecipeError
from serving.bundles.files import open_file

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BINARY_SHARE = 0.05
_LONGEST_CELL = 2**31 - 1
_DEFAULT_SPLIT = "train"


@dataclass(frozen=True)
class TableRow:
    """One row's cells by column name; `where` tells the user which row it is."""

    where: str
    cells: Mapping[str, Any]


def read_rows(source: Source, columns: Sequence[str]) -> Iterator[TableRow]:
    """Yield the rows of a table in order, each with at least `columns`.

    Raises RecipeError naming file, line and remedy when the table is missing, unreadable or empty,
    or lacks a column.
    """
    if source.path is None or source.path.is_dir():
        rows = _read_data_set(source, columns)
    else:
        reader = _READERS.get(source.path.suffix.lower())
        if reader is None:
            raise RecipeError(
                f"{source.path} is not a table of a known format: save it as one of "
                f"{', '.join(_READERS)}"
            )
        rows = reader(source.path, columns)
    count = 0
    for row in rows:
        count += 1
        yield row
    if not count:
        raise RecipeError(f"{source} has no rows: add texts or remove it from the recipe")


def text_in(cell: Any, where: str) -> str:
    """Return a cell's text, stripped. Raises RecipeError naming `where` if there is none."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        raise RecipeError(f"{where}: empty text: fill it in or delete the row")
    if not isinstance(cell, str):
        raise RecipeError(f"{where}: {cell!r} is not a text: put it in quotes or delete the row")
    return cell.strip()


def _read_text(path: Path) -> str:
    try:
        with open_file(path) as file:
            content = file.read()
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error}: name a file") from error
    if not content.strip():
        raise RecipeError(f"{path} is empty: add texts or remove it from the recipe")
    zeros = content.count(b"\0")
    if content.startswith(_UTF_16) or zeros > _BINARY_SHARE * len(content):
        raise RecipeError(f"{path} is binary or UTF-16: save it as UTF-8")
    if zeros:
        line = _line_of(content, content.index(b"\0"))
        raise RecipeError(f"{path}, line {line}: it has a NUL byte: delete it")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line_of(content, error.start)
        raise RecipeError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8: "
            "save the whole file in one encoding, UTF-8"
        ) from error


def _line_of(content: bytes, position: int) -> int:
    end = b"\n" if b"\n" in content else b"\r"
    return content.count(end, 0, position) + 1


def _read_tsv(path: Path, columns: Sequence[str]) -> Iterator[TableRow]:
    """TSV as registered with IANA: no quoting, no tab or line break in a cell."""
    lines = csv.reader(
        io.StringIO(_read_text(path), newline=""), delimiter="\t", quoting=csv.QUOTE_NONE
    )
    return _read_separated(path, columns, lines, "a cell contains a tab: save the file as CSV")


def _read_csv(path: Path, columns: Sequence[str]) -> Iterator[TableRow]:
    """CSV by RFC 4180: a quoted cell may contain commas, doubled quotes and line breaks."""
    lines = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)
    return _read_separated(path, columns, lines, "put quotes around cells that contain a comma")


def _read_separated(
    path: Path, columns: Sequence[str], lines: Any, remedy: str
) -> Iterator[TableRow]:
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
                raise RecipeError(
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
            raise RecipeError(
                f"{path} has no column {name!r}, only {', '.join(map(repr, header))}: name the "
                "columns in [data] with `text` and `label`"
            )


def _read_json_lines(path: Path, columns: Sequence[str]) -> Iterator[TableRow]:
    text = _read_text(path)
    end = "\n" if "\n" in text else "\r"
    for number, line in enumerate(text.split(end), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            cells = json.loads(line)
        except json.JSONDecodeError as error:
            raise RecipeError(
                f"{where} is not JSON ({error.msg} at character {error.pos + 1}): "
                "write each object completely on one line"
            ) from error
        if not isinstance(cells, dict):
            raise RecipeError(
                f"{where} is not a JSON object: write one on each line, such as "
                '{"text": "...", "label": "..."}'
            )
        _check_columns(where, columns, list(cells))
        yield TableRow(where, cells)


def _read_parquet(path: Path, columns: Sequence[str]) -> Iterator[TableRow]:
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
        named = {name: _named(cell, data.features[name]) for name, cell in cells.items()}
        yield TableRow(f"{source}, {split}, row {number}", named)


def _named(cell: Any, feature: Any) -> Any:
    """The name of a ClassLabel's number; of a list, all names."""
    inner = getattr(feature, "feature", None)
    if inner is not None and isinstance(cell, list):
        return [_named(each, inner) for each in cell]
    is_known = hasattr(feature, "int2str") and isinstance(cell, int) and cell >= 0
    return feature.int2str(cell) if is_known else cell


_READERS: dict[str, Callable[[Path, Sequence[str]], Iterator[TableRow]]] = {
    ".tsv": _read_tsv,
    ".csv": _read_csv,
    ".jsonl": _read_json_lines,
    ".parquet": _read_parquet,
}
