"""What the user asks `compress` for, checked."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.recipe import RecipeError
from models.recipe_sections import Missing

_FEWEST_BYTES = 1_000
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d+)?)\s*([kmg]?b?)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Wanted:
    """The options of the command `compress`.

    `source` is a folder, an ONNX file, `hub:OWNER/NAME` or `fetched:NAME`. `label` is None if the
    user names no column. `max_drop` is a fraction, also of agreement; `max_bytes` and `latency_ms`
    are None without a limit; `minutes` is the time that all steps may take together. `more` are
    tables of texts that students learn from, whose labels are not read. `separator` stands between
    the labels of a cell; empty, a cell is one label; None if the user does not say. `missing` is
    what becomes of rows without a label.
    """

    source: str
    data: tuple[Path, ...]
    family: str
    recipes: Path
    registry: Path
    text: str = "text"
    label: str | None = None
    group: str | None = None
    max_bytes: int | None = None
    max_drop: float = 0.02
    latency_ms: float | None = None
    minutes: float = 60.0
    formats_only: bool = False
    more: tuple[Path, ...] = ()
    separator: str | None = None
    missing: Missing = "refuse"

    def __post_init__(self) -> None:
        """Raise RecipeError naming the option that is out of range."""
        _check_tables("data", self.data)
        _check_tables("more", self.more)
        for path in self.more:
            if path.resolve() in [each.resolve() for each in self.data]:
                raise RecipeError(f"--more: {path} is in --data already: name it once")
        if self.more and self.formats_only:
            raise RecipeError("--more: nothing learns from it with --formats-only: leave one out")
        if not 0 < self.max_drop < 1:
            raise RecipeError(
                f"--max-drop {self.max_drop:g}: write a share between 0 and 1, such as 0.02 or 2%, "
                "for two points"
            )
        for name, value in (("latency-ms", self.latency_ms), ("minutes", self.minutes)):
            if value is not None and not 0 < value < math.inf:
                raise RecipeError(f"--{name} {value:g}: write a number above 0")


def _check_tables(option: str, paths: Sequence[Path]) -> None:
    for path, times in Counter(paths).items():
        if not path.exists():
            raise RecipeError(f"--{option}: {path} does not exist: name a table of texts")
        if (path / "config.json").exists():
            raise RecipeError(f"--{option}: {path} is a model's folder: name a table of texts")
        if times > 1:
            raise RecipeError(f"--{option}: {path} is named twice: name it once")
        if b"\\udc" in str(path).encode("ascii", "backslashreplace"):
            raise RecipeError(f"--{option}: {str(path)!r} is not a name in UTF-8: rename it")


def parse_share(text: str) -> float:
    """Parse a share such as `0.02` or `2%`. Raises RecipeError."""
    number, is_percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        return float(number) / (100 if is_percent else 1)
    except ValueError as error:
        raise RecipeError(f"--max-drop {text}: write a share, such as 0.02 or 2%") from error


def parse_bytes(text: str) -> int:
    """Parse a size such as `5MB`, `800 kB` or `5000000`, in powers of ten. Raises RecipeError."""
    found = _SIZE.fullmatch(text)
    unit = found[2].upper() if found else ""
    number = float(found[1]) if found else 0.0
    scale = _UNITS.get(unit if unit in _UNITS else f"{unit}B")
    if not number or scale is None or number * scale < _FEWEST_BYTES:
        raise RecipeError(f"--max-bytes {text}: write a size with its unit, such as 5MB or 800kB")
    return int(number * scale)
