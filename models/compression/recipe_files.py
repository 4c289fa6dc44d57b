"""Writes recipes as files that their user may edit: what was edited is not written over."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

_HEADER = "# Written by `python -m models compress`, which keeps this file once it is edited: "
_HASH_DIGITS = 16
Written = Literal["written", "unchanged", "kept"]


def toml(about: str, content: Mapping[str, Any]) -> str:
    """Write a recipe's content as TOML under its header; keys that are None are left out.

    A mapping becomes a table. JSON's strings, numbers, booleans and lists are also TOML's.
    """
    lines = [f"# {about}"]
    tables = {name: each for name, each in content.items() if isinstance(each, Mapping)}
    lines += _pairs({name: each for name, each in content.items() if name not in tables})
    for name, table in tables.items():
        lines += ["", f"[{name}]", *_pairs(table)]
    body = "".join(f"{line}\n" for line in lines)
    return f"{_HEADER}{_hash(body)}\n{body}"


def write(path: Path, text: str) -> Written:
    """Write a recipe unless its user has edited it; say what became of it."""
    if path.is_file():
        there = path.read_text(encoding="utf-8")
        if there == text:
            return "unchanged"
        if is_edited(there):
            return "kept"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return "written"


def is_edited(text: str) -> bool:
    """Whether a recipe is not as `toml` left it."""
    header, _, body = text.partition("\n")
    return header != f"{_HEADER}{_hash(body)}"


def _pairs(table: Mapping[str, Any]) -> list[str]:
    given = {name: each for name, each in table.items() if each is not None}
    return [f"{name} = {_value(each)}" for name, each in given.items()]


def _value(value: Any) -> str:
    # The only character that JSON allows and TOML does not.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _hash(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:_HASH_DIGITS]
