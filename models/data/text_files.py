"""Reads a file of text in its encoding, and finds out how its cells are separated."""

import codecs
import csv
import io
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from charset_normalizer import from_bytes

from models.recipe import RecipeError
from serving.bundles.files import listed, open_file

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BINARY_SHARE = 0.05
_DELIMITERS = (",", ";", "\t", "|")
_REPLACED = "\ufffd"
_END = re.compile(r"\r\n|\r|\n")
"""The ends of lines, as the readers of tables count them."""


@dataclass(frozen=True)
class TableFormat:
    """How a table is written; None is found out from the file."""

    encoding: str | None = None
    delimiter: str | None = None


FOUND_OUT = TableFormat()


def read_table_text(path: Path, encoding: str | None) -> str:
    """Return the text of a file, in UTF-8 unless `encoding` or the file says otherwise.

    What is found out is printed, once for a file. Raises RecipeError naming the lines that are not
    text.
    """
    try:
        with open_file(path) as file:
            content = file.read()
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error}: name a file") from error
    if not content.strip():
        raise RecipeError(f"{path} is empty: add texts or remove it from the recipe")
    if encoding is None and content.startswith(_UTF_16):
        encoding = "utf-16"
    if encoding is not None:
        text = _decoded(path, content, encoding)
    else:
        _check_zeros(path, content)
        text = _guessed(path, content)
    if "\0" in text:
        line = _line_of(text, text.index("\0"))
        raise RecipeError(f"{path}, line {line}: it has a NUL byte: delete it")
    return text


def _check_zeros(path: Path, content: bytes) -> None:
    if content.count(b"\0") > _BINARY_SHARE * len(content):
        raise RecipeError(
            f"{path} is binary, or UTF-16 without its mark: save it as UTF-8 or set `encoding` in "
            "[data]"
        )


def _decoded(path: Path, content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(encoding, "replace")
        raise RecipeError(
            f"{path}, line {_line_of(before, len(before))}: byte 0x{content[error.start]:02x} is "
            f"not {encoding}: save the whole file in one encoding"
        ) from error


def _guessed(path: Path, content: bytes) -> str:
    """Decode UTF-8, or what charset-normalizer takes the file for.

    A file with more characters that are UTF-8 than bytes that are not is UTF-8 with faults.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("utf-8", "replace")
    wrong = text.count(_REPLACED)
    right = sum(not each.isascii() for each in text) - wrong
    found = None if right > wrong else from_bytes(content).best()
    if found is None:
        lines = [number for number, line in enumerate(_END.split(text), 1) if _REPLACED in line]
        raise RecipeError(
            f"{path}, line {listed(lines)}: a byte is not UTF-8: save the whole file in one "
            "encoding, UTF-8, or set `encoding` in [data]"
        )
    _say(f"{path}: read as {found.encoding}; if that is wrong, set `encoding` in [data]")
    return str(found)


@cache
def _say(sentence: str) -> None:
    """Print what is found out of a table once, however often it is read."""
    print(sentence)


def _line_of(text: str, position: int) -> int:
    return sum(1 for _ in _END.finditer(text, 0, position)) + 1


def delimiter_of(path: Path, text: str, columns: Collection[str]) -> str:
    """Return what separates the cells: the first of , ; tab | that gives all `columns` names.

    Where none does, it is the one that gives most names.
    """
    headers = {each: _header(text, each) for each in _DELIMITERS}
    fitting = [each for each, header in headers.items() if set(columns) <= set(header)]
    found = fitting[0] if fitting else max(headers, key=lambda each: len(headers[each]))
    if found != _DELIMITERS[0]:
        _say(f"{path}: its cells are separated by {found!r}")
    return found


def _header(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    except csv.Error:
        return []
