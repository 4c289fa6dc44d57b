"""What decisions are wanted for: the family, its texts, and the target of each label."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from models.recipe import RecipeError
from serving.bundles.decisions import LabelTarget
from serving.bundles.windows import Long
from serving.inference.engine import EngineName

_LOWEST_CONFIDENCE = 0.5
LIMITS = ("max_false_positive_rate", "min_recall")
Given = Sequence[tuple[str, str]]
"""The options `label` and LIMITS with their values, in the order of the command line."""


@dataclass(frozen=True)
class DecideOptions:
    """The options of the command `decide`.

    `build` is the build folder with the family's texts; `recalibrate` a table of labelled texts
    that replaces its calibration and test splits. `engine` runs the variants; `auto` is the one
    serving would choose here. `long` is what becomes of long texts, which are truncated unless it,
    or without it the family's default, is `windows`.
    """

    family: str
    registry: Path
    build: Path
    targets: Sequence[LabelTarget]
    confidence: float = 0.95
    recalibrate: Path | None = None
    engine: EngineName | Literal["auto"] = "auto"
    long: Long | None = None

    def __post_init__(self) -> None:
        """Raise RecipeError when the confidence is out of range."""
        if not _LOWEST_CONFIDENCE < self.confidence < 1:
            raise RecipeError(
                f"--confidence {self.confidence:g}: choose a number above {_LOWEST_CONFIDENCE:g} "
                "and below 1"
            )


def parse_targets(given: Given) -> list[LabelTarget]:
    """Give each label the next limit after it. Raises RecipeError naming what is wrong."""
    targets: dict[str, LabelTarget] = {}
    waiting: list[str] = []
    for name, value in given:
        if name == "label":
            if value in {*targets, *waiting}:
                raise RecipeError(f"--label {value}: give each label once, with one limit")
            waiting.append(value)
            continue
        option = f"--{name.replace('_', '-')}"
        if not waiting:
            raise RecipeError(f"{option} {value}: name its label before it, with --label")
        try:
            targets |= {each: LabelTarget(label=each, **{name: value}) for each in waiting}
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise RecipeError(f"{option} {value}: {reason}") from error
        waiting = []
    if waiting or not targets:
        what = f"--label {waiting[0]}" if waiting else "decide"
        raise RecipeError(
            f"{what} needs a limit: --max-false-positive-rate or --min-recall after --label"
        )
    return list(targets.values())
