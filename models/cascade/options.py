"""What a cascade is wanted for: the family, its texts, and the target to guarantee."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from models.recipe import RecipeError
from serving.bundles.cascade import Target
from serving.bundles.windows import Long
from serving.inference.engine import EngineName


@dataclass(frozen=True)
class CascadeOptions:
    """The options of the command `cascade`.

    `build` is the build folder with the family's texts. `variants` are those that the cascade may
    use; empty means all. `recalibrate` is a table of texts that replaces the family's validation
    and calibration splits. `engine` runs the variants; `auto` is the one serving would choose here.
    `long` is what becomes of long texts, which are truncated unless it, or without it the family's
    default, is `windows`. `early_labels` are the only ones with which a stage before the last ends
    a text; None allows any.
    """

    family: str
    registry: Path
    build: Path
    target: Target
    variants: Sequence[str] = ()
    recalibrate: Path | None = None
    engine: EngineName | Literal["auto"] = "auto"
    long: Long | None = None
    early_labels: Sequence[str] | None = None


def parse_target(**fields: Any) -> Target:
    """Check the target's fields. Raises RecipeError naming the option that is out of range."""
    try:
        return Target(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-")
        raise RecipeError(f"--{option} {first['input']}: {first['msg']}") from error
