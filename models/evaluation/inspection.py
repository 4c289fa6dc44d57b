"""What was seen of the data before training, and the accuracy of the baselines on it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from models.recipe_sections import Split
from serving.bundles.evaluation import Estimate

_NAME = "inspection.json"


@dataclass(frozen=True)
class Lengths:
    """How long the labelled texts are; `cut` is the share that is longer than the model reads."""

    median: int
    most: int
    longest: int
    cut: float | None = None

    def __str__(self) -> str:
        cut = "" if self.cut is None else f"; {self.cut:.1%} are cut"
        return f"{self.median:,} / {self.most:,} / {self.longest:,}{cut}"


@dataclass(frozen=True)
class Inspection:
    """What the data is like.

    `rows` has what became of the tables' labelled rows, `labels` how many texts have each label.
    `tokens` and `unknown_tokens`, a share, are None where no vocabulary is known before training.
    `baselines` has each one's accuracy by split.
    """

    rows: Mapping[str, int]
    texts: Mapping[str, int]
    labels: Mapping[str, int]
    characters: Lengths
    tokens: Lengths | None
    unknown_tokens: float | None
    baselines: Mapping[Split, Mapping[str, Estimate]]


def write_inspection(folder: Path, found: Inspection) -> None:
    """Write `inspection.json`."""
    baselines = {
        split: {name: estimate.model_dump() for name, estimate in accuracies.items()}
        for split, accuracies in found.baselines.items()
    }
    content = asdict(found) | {"baselines": baselines}
    (folder / _NAME).write_text(json.dumps(content, indent=2), encoding="ascii")


def read_baselines(folder: Path, split: Split) -> dict[str, Estimate]:
    """Read the accuracy of each baseline on a split."""
    content = json.loads((folder / _NAME).read_text(encoding="ascii"))
    return {name: Estimate(**each) for name, each in content["baselines"][split].items()}
