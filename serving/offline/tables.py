"""CSV, JSON Lines and Parquet tables: read in chunks, written in parts, merged."""

import csv
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from pydantic_core import from_json, to_json

from serving.errors import StartError
from serving.extras import optional_packages
from serving.inference.inputs import Text

Kind = Literal["text", "number", "flag", "scores", "names", "windows"]
Added = Mapping[str, Kind]
"""The names of the columns to add."""
Values = Mapping[str, Any]
"""The values of the added columns in one row; None for a missing value."""
Columns = tuple[str] | tuple[str, str]
"""The column of a text, or the two columns of a pair."""
CHUNK_ROWS = 8192
# Bounds the memory of a chunk of long texts.
CHUNK_BYTES = 16 << 20
_PIECE_ROWS = 256
_GROUP_PARTS = 8
_BOM = b"\xef\xbb\xbf"
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows: their texts (None if missing), and the rows in the table's own form."""

    texts: list[Text | None]
    rows: Any


class Table(Protocol):
    """One format. An unchanged file always has the same chunks."""

    def chunks(self) -> Iterator[Chunk]:
        """Read all rows in order. Raises StartError naming an unreadable row."""

    def write(self, chunk: Chunk, added: Sequence[Values], path: Path) -> None:
        """Write a part: the rows of a chunk with the added columns."""

    def merge(self, parts: Sequence[Path], path: Path) -> None:
        """Join the parts, in order, into one file."""


def open_table(
    path: Path, output: Path, columns: Columns, added: Added, labels: Sequence[str]
) -> Table:
    """Open the table at `path`, in the format of its file extension; `columns` hold the texts.

    Raises StartError if the file is missing, the output has another extension, a text column is
    missing or not textual, or an added column already exists.
    """
    if path.suffix not in _TABLES:
        raise StartError(f"{path} ends in none of {', '.join(_TABLES)}: rename or convert it")
    if output.suffix != path.suffix:
        raise StartError(f"{output} must end in {path.suffix}, like the input")
    if not path.is_file():
        raise StartError(f"{path} is not a file")
    if path.resolve() == output.resolve():
        raise StartError(f"{output} is the input: name another output")
    return _TABLES[path.suffix](path, columns, added, labels)


class _Csv:
    """Comma-separated values (RFC 4180) in UTF-8 with a header; blank lines are skipped.

    Scores are JSON objects, missing values empty cells.
    """

    def __init__(self, path: Path, columns: Columns, added: Added, _labels: Sequence[str]) -> None:
        csv.field_size_limit(CHUNK_BYTES)
        self._path = path
        self._added = list(added)
        self._header = next(self._rows(), [])
        _check_columns(path, self._header, columns, added)
        self._places = [self._header.index(column) for column in columns]

    def chunks(self) -> Iterator[Chunk]:
        """See Table."""
        rows = islice(self._rows(), 1, None)
        for group in _grouped((row, 1, sum(map(len, row))) for row in rows):
            yield Chunk([_text([row[place] for place in self._places]) for row in group], group)

    def write(self, chunk: Chunk, added: Sequence[Values], path: Path) -> None:
        """See Table."""
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(
                [*row, *(_csv_value(more[name]) for name in self._added)]
                for row, more in zip(chunk.rows, added, strict=True)
            )

    def merge(self, parts: Sequence[Path], path: Path) -> None:
        """See Table."""
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerow([*self._header, *self._added])
        _append(parts, path)

    def _rows(self) -> Iterator[list[str]]:
        """Yield the header, then every row."""
        with self._path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            width = 0
            try:
                for row in filter(None, reader):
                    width = width or len(row)
                    if len(row) != width:
                        raise StartError(
                            f"{self._path}: line {reader.line_num} has {len(row)} fields and the "
                            f"header {width}: quote fields that hold a comma"
                        )
                    yield row
            except (csv.Error, UnicodeDecodeError) as error:
                raise StartError(
                    f"{self._path}: after line {reader.line_num}: {error}: write CSV in UTF-8"
                ) from error


class _JsonLines:
    """JSON Lines in UTF-8; each object keeps its formatting, blank lines are skipped."""

    def __init__(self, path: Path, columns: Columns, added: Added, _labels: Sequence[str]) -> None:
        self._path = path
        self._columns = columns
        self._added = added

    def chunks(self) -> Iterator[Chunk]:
        """See Table."""
        for group in _grouped(self._rows()):
            yield Chunk([text for _, text in group], [line for line, _ in group])

    def write(self, chunk: Chunk, added: Sequence[Values], path: Path) -> None:
        """See Table."""
        with path.open("wb") as file:
            for line, more in zip(chunk.rows, added, strict=True):
                file.write(line.removesuffix(b"}").rstrip() + b"," + to_json(more)[1:] + b"\n")

    def merge(self, parts: Sequence[Path], path: Path) -> None:
        """See Table."""
        path.write_bytes(b"")
        _append(parts, path)

    def _rows(self) -> Iterator[tuple[tuple[bytes, Text | None], int, int]]:
        number = 0
        with self._path.open("rb") as file:
            while read := file.readline(CHUNK_BYTES + 1):
                number += 1
                line = (read.removeprefix(_BOM) if number == 1 else read).strip()
                if line:
                    yield (line, self._text(line, number)), 1, len(line)

    def _text(self, line: bytes, number: int) -> Text | None:
        where = f"{self._path}: line {number}"
        if len(line) > CHUNK_BYTES:
            raise StartError(f"{where} has more than {CHUNK_BYTES} bytes: shorten it")
        try:
            row = from_json(line)
        except ValueError as error:
            reason = str(error).replace("line 1 ", "")
            raise StartError(f"{where} is not JSON: {reason}") from error
        if not isinstance(row, dict):
            raise StartError(f"{where} is not a JSON object: write one a line")
        _check_columns(where, row, self._columns, self._added)
        for name in self._columns:
            if not (row[name] is None or isinstance(row[name], str)):
                raise StartError(f"{where}: {name} is {row[name]!r}, not a string: quote it")
        return _text([row[name] for name in self._columns])


class _Parquet:
    """Apache Parquet, read by pyarrow; scores are a struct with one field per label."""

    def __init__(self, path: Path, columns: Columns, added: Added, labels: Sequence[str]) -> None:
        with optional_packages("Parquet"):
            import pyarrow as pa  # noqa: PLC0415  the image that serves holds no pyarrow
            import pyarrow.parquet as pq  # noqa: PLC0415
        self._pa, self._pq, self._path, self._columns = pa, pq, path, columns
        scores = pa.struct([(label, pa.float64()) for label in labels])
        span = pa.struct([("start", pa.int64()), ("end", pa.int64())])
        spans = pa.struct([(label, span) for label in labels])
        types = {
            "text": pa.string(),
            "number": pa.float64(),
            "flag": pa.bool_(),
            "scores": scores,
            "names": pa.list_(pa.string()),
            "windows": pa.struct([("count", pa.int64()), ("labels", spans)]),
        }
        self._added = [pa.field(name, types[kind]) for name, kind in added.items()]
        try:
            schema = pq.read_schema(path)
        except (pa.ArrowException, OSError) as error:
            raise StartError(f"{path} cannot be read as Parquet: {error}") from error
        _check_columns(path, schema.names, columns, added)
        texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
        for column in columns:
            kind = schema.field(column).type
            value = kind.value_type if pa.types.is_dictionary(kind) else kind
            if not any(is_text(value) for is_text in texts):
                raise StartError(f"{path}: {column} holds {kind}, not strings: cast it")
        self._schema = schema

    def chunks(self) -> Iterator[Chunk]:
        """See Table."""
        pa = self._pa
        try:
            # A buffered reader streams a column chunk instead of reading it whole.
            with self._pq.ParquetFile(self._path, buffer_size=1 << 20) as file:
                pieces = file.iter_batches(_PIECE_ROWS)
                for group in _grouped((piece, piece.num_rows, piece.nbytes) for piece in pieces):
                    rows = pa.Table.from_batches(group)
                    texts = (rows[name].cast(pa.string()).to_pylist() for name in self._columns)
                    yield Chunk([_text(each) for each in zip(*texts, strict=True)], rows)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise StartError(f"{self._path} cannot be read as Parquet: {error}") from error

    def write(self, chunk: Chunk, added: Sequence[Values], path: Path) -> None:
        """See Table."""
        rows = chunk.rows
        for field in self._added:
            values = self._pa.array([more[field.name] for more in added], field.type)
            rows = rows.append_column(field, values)
        self._pq.write_table(rows, path)

    def merge(self, parts: Sequence[Path], path: Path) -> None:
        """See Table. Parts are rewritten into large row groups, which readers prefer."""
        pa, pq = self._pa, self._pq
        schema = self._schema
        for field in self._added:
            schema = schema.append(field)
        with pq.ParquetWriter(path, schema) as writer:
            for at in range(0, len(parts), _GROUP_PARTS):
                group = [pq.read_table(part) for part in parts[at : at + _GROUP_PARTS]]
                writer.write_table(pa.concat_tables(group).cast(schema))


_TABLES: dict[str, Callable[[Path, Columns, Added, Sequence[str]], Table]] = {
    ".csv": _Csv,
    ".jsonl": _JsonLines,
    ".parquet": _Parquet,
}


def _text(cells: Sequence[str | None]) -> Text | None:
    """Return a text or a pair; None if a part of it is missing."""
    if len(cells) == 1:
        return cells[0]
    first, second = cells
    return None if first is None or second is None else (first, second)


def _check_columns(where: object, names: Iterable[str], columns: Columns, added: Added) -> None:
    known = list(names)
    if missing := [name for name in columns if name not in known]:
        raise StartError(f"{where} has no column {missing[0]!r} but {known}: name one with --text")
    if taken := [name for name in known if name in added]:
        raise StartError(
            f"{where} has a column {taken[0]!r} already: use --prefix, e.g. --prefix predicted_"
        )
    if len(set(known)) < len(known):
        raise StartError(f"{where} names a column twice: {known}")


def _grouped(items: Iterable[tuple[_Item, int, int]]) -> Iterator[list[_Item]]:
    """Group items, each with its rows and bytes, into full chunks."""
    group: list[_Item] = []
    rows = size_bytes = 0
    for item, its_rows, its_bytes in items:
        group.append(item)
        rows += its_rows
        size_bytes += its_bytes
        if rows >= CHUNK_ROWS or size_bytes >= CHUNK_BYTES:
            yield group
            group, rows, size_bytes = [], 0, 0
    if group:
        yield group


def _csv_value(value: Any) -> str:
    if isinstance(value, str) or value is None:
        return value or ""
    return to_json(value).decode()


def _append(parts: Sequence[Path], path: Path) -> None:
    with path.open("ab") as merged:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, merged)
