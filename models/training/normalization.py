"""How a tokenizer.json of a model in training normalises a text before its own normalizer."""

import json
from collections.abc import Sequence
from pathlib import Path

from serving.bundles.normalization import Normalization, kinds_of, normalized


def normalize(path: Path, kinds: Sequence[Normalization]) -> None:
    """Make the tokenizer.json at `path` normalise so, and so only, before its own normalizer."""
    whole = json.loads(path.read_text(encoding="utf-8"))
    if set(kinds) != set(kinds_of(whole)):
        content = json.dumps(normalized(whole, kinds), ensure_ascii=False, separators=(",", ":"))
        path.write_text(content, encoding="utf-8")


def normalizations(path: Path) -> tuple[Normalization, ...]:
    """Return how the tokenizer.json at `path` normalises a text before its own normalizer."""
    return kinds_of(json.loads(path.read_text(encoding="utf-8")))
