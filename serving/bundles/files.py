"""Types and parsing shared by the JSON files of a registry."""

import re
import stat
from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serving.errors import BundleError

Parsed = TypeVar("Parsed", bound=BaseModel)
_MOST_LISTED = 20


NAME = re.compile(r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")
Name = Annotated[str, Field(pattern=NAME.pattern)]


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Frozen(BaseModel):
    """The content of a file: immutable, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def parse(model: type[Parsed], text: str, where: Path | str) -> Parsed:
    """Parse the text of a file. Raises BundleError naming the file and the field."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BundleError(f"{where}: {field}: {first['msg']}") from error


def listed(names: Collection[object]) -> str:
    """Join names for a message, which only needs the first of very many."""
    shown = ", ".join(str(name) for name in islice(names, _MOST_LISTED))
    rest = len(names) - _MOST_LISTED
    return f"{shown} and {rest:,} more" if rest > 0 else shown


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """Read a file. Raises OSError if it is none: reading a named pipe would never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path} is not a file")
    return path.read_text(encoding=encoding)
