"""What a run of `compress` leaves for the next: the facts, so that the plan stays, and refusals."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from models.compression.facts import Facts
from models.compression.wanted import Wanted
from models.recipe import lineage
from serving.bundles.bundle import file_sha256
from serving.bundles.files import replace_file

_NAME = "compress.json"


class Refusal(BaseModel):
    """A variant that was refused or stopped, by the hash of its recipe and its ancestors'."""

    recipes_sha256: str
    reason: str
    seconds: float


class _File(BaseModel):
    arguments: dict[str, Any]
    facts: dict[str, Any]
    refusals: dict[str, Refusal] = {}


@dataclass
class State:
    """The facts of this command line, if an earlier run found them, and what it refused."""

    path: Path
    arguments: Mapping[str, Any]
    facts: Facts | None = None
    refusals: dict[str, Refusal] = field(default_factory=dict)

    def save(self) -> None:
        """Write the file, whole or not at all."""
        assert self.facts is not None, "this is a bug: nothing was found out"
        content = _File(
            arguments=dict(self.arguments),
            facts=TypeAdapter(Facts).dump_python(self.facts, mode="json"),
            refusals=self.refusals,
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self.path, content.model_dump_json(indent=2).encode())

    def refusal(self, variant: str, recipe: Path) -> Refusal | None:
        """Return why this recipe was refused before, if it was."""
        found = self.refusals.get(variant)
        return found if found and found.recipes_sha256 == _lineage_sha256(recipe) else None

    def refuse(self, variant: str, recipe: Path, reason: str, seconds: float) -> None:
        """Remember a refusal."""
        sha256 = _lineage_sha256(recipe)
        self.refusals[variant] = Refusal(recipes_sha256=sha256, reason=reason, seconds=seconds)
        self.save()


def read_state(wanted: Wanted, source: Path | None) -> State:
    """Read what an earlier run left, if its arguments and files were the same."""
    arguments = {
        "source": wanted.source,
        "files": _sha256(source) if source else "",
        "data": {str(path): _sha256(path) for path in wanted.data},
        "more": {str(path): _sha256(path) for path in wanted.more},
        "columns": [wanted.text, wanted.label, wanted.group, wanted.separator, wanted.missing],
    }
    path = wanted.recipes / _NAME
    empty = State(path, arguments)
    try:
        file = _File.model_validate(json.loads(path.read_text(encoding="utf-8")))
        facts = TypeAdapter(Facts).validate_python(file.facts, strict=False)
    except (OSError, ValueError, ValidationError):
        return empty
    if file.arguments != arguments:
        return empty
    return State(path, arguments, facts, dict(file.refusals))


def _lineage_sha256(recipe: Path) -> str:
    hashes = [file_sha256(recipe.with_name(f"{each.variant}.toml")) for each in lineage(recipe)]
    return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()


def _sha256(path: Path) -> str:
    """The hash of a file, or of a folder's files."""
    if path.is_file():
        return file_sha256(path)
    files = [
        (str(each.relative_to(path)), file_sha256(each))
        for each in sorted(path.rglob("*"))
        if each.is_file()
    ]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()
