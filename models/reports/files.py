"""The files of a command's report: its tables, its figures and a picture, under one name."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import BaseModel

from serving.errors import StartError, failures


def write_report(
    output: Path, name: str, tables: str, figures: str, draw: Callable[[Path], None]
) -> str:
    """Write NAME.md, NAME.json and, by `draw`, NAME.png; return the sentence that names them.

    Raises StartError if they cannot be written.
    """
    markdown, as_json, picture = (output / f"{name}.{suffix}" for suffix in ("md", "json", "png"))
    with failures(StartError, f"the report cannot be written into {output}"):
        output.mkdir(parents=True, exist_ok=True)
        as_json.write_text(figures, encoding="utf-8")
        markdown.write_text(tables, encoding="utf-8")
        draw(picture)
    return f"Wrote {markdown}, {picture} and {as_json}"


def figures_of(family: str, found: Mapping[str, BaseModel]) -> str:
    """Return all figures of a family's variants as JSON."""
    variants = {name: each.model_dump(mode="json") for name, each in found.items()}
    return json.dumps({"family": family, "variants": variants}, indent=2) + "\n"
