"""The log of looks: every test of cascades on a family's held-out texts.

Each look at the same texts is another chance to be lucky, so the more looks, the less the best of
them proves.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from models.recipe import RecipeError
from serving.bundles.bundle import Manifest
from serving.bundles.cascade import Target

LOOKS_NAME = "cascade-looks.jsonl"


@dataclass(frozen=True)
class Look:
    """One run of the command: the target, what is tested, and the texts it is tested on.

    `versions` are those that a cascade may use, `reference` the one it is held against, `engines`
    what runs each of them. `windows_hash` is that of how long texts were joined, None if they were
    truncated. `early_labels` are those of the options. `sequence_sha256` is the hash of the
    candidates in the order of testing; None for re-splits, each of which has a sequence of its own.
    """

    does: Literal["choose", "resplit"]
    target: Target
    versions: Sequence[str]
    reference: str
    engines: Mapping[str, str]
    sequence_sha256: str | None
    tested_sha256: str
    judged_sha256: str
    windows_hash: str | None = None
    early_labels: Sequence[str] | None = None


@dataclass(frozen=True)
class Looks:
    """How many different looks there have been at the same calibration texts and test split."""

    tested: int
    judged: int

    def worth(self, confidence: float) -> float:
        """Return the confidence that is left for the best of the looks, by Bonferroni's bound."""
        return max(0.0, 1 - self.tested * (1 - confidence))


def log(look: Look, family: Path) -> Looks:
    """Append a look to the log in the family's folder of a registry, and count those that differ.

    A line that lacks a field, as older ones do, is a look of its own: better one look too many.
    Looks with another registry are in its own log and are not counted. Raises RecipeError when the
    log cannot be read or written: an unlogged look is not taken.
    """
    path = family / LOOKS_NAME
    fields = asdict(look) | {
        "target": look.target.model_dump(),
        "versions": sorted(look.versions),
        "engines": dict(look.engines),
    }
    line = json.dumps(fields | {"at": datetime.now(UTC).isoformat(timespec="seconds")})
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        past = [json.loads(each) for each in path.read_text(encoding="utf-8").splitlines()]
        return Looks(_count(past, fields, "tested_sha256"), _count(past, fields, "judged_sha256"))
    except (OSError, ValueError, KeyError) as error:
        raise RecipeError(
            f"{path}: {error}: looks at held-out texts are logged here, so make it a writable file "
            "of JSON lines"
        ) from error


def is_looked_for(target: Target, manifests: Iterable[Manifest], family: Path) -> bool:
    """Return whether the last look chose a cascade for this target among these variants."""
    wanted = {
        "does": "choose",
        "target": target.model_dump(),
        "versions": sorted(f"{each.variant} {each.version}" for each in manifests),
    }
    try:
        last = json.loads((family / LOOKS_NAME).read_text(encoding="utf-8").splitlines()[-1])
        return {name: last.get(name) for name in wanted} == wanted
    except (OSError, ValueError, IndexError, AttributeError):  # `log` says what is wrong with it
        return False


def _count(past: list[dict[str, object]], fields: dict[str, object], texts: str) -> int:
    same = ((number, each) for number, each in enumerate(past) if each[texts] == fields[texts])
    return len(
        {
            json.dumps([each[key] for key in fields], sort_keys=True)
            if fields.keys() <= each.keys()
            else number
            for number, each in same
        }
    )
