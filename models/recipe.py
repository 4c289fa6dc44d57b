"""A recipe: one TOML file that says how one variant is made.

It does not know how a stage does its work, nor which stages are already done.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

RECIPES = Path(__file__).parent / "recipes"

Share = Annotated[float, Field(gt=0, lt=1)]
Stage = Literal["data", "train", "distill", "export", "quantize", "evaluate", "publish"]
STAGES: tuple[Stage, ...] = get_args(Stage)


class RecipeError(Exception):
    """A recipe is wrong or asks for something impossible; the message names the remedy."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSection(_Section):
    """Which sentences are labelled, and how they are split."""

    seed: str = Field(description="salt of the hash that assigns each group to a split")
    neutral_below: float = Field(ge=0, description="labelled only if |mean rating| reaches this")
    validation_share: Share
    calibration_share: Share
    test_share: Share


class TrainSection(_Section):
    """Fine-tuning of the base model."""

    seed: int
    epochs: Annotated[int, Field(gt=0)]
    learning_rate: Annotated[float, Field(gt=0)]
    batch_texts: Annotated[int, Field(gt=0)]
    max_length: Annotated[int, Field(ge=3, le=512, description="tokens, special ones included")]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]


class DistillSection(_Section):
    """A student made of some of its teacher's layers and words."""

    seed: int
    layers: Annotated[tuple[int, ...], Field(min_length=1)]
    vocabulary_words: Annotated[
        int, Field(gt=0, description="upper bound of the trimmed vocabulary")
    ]
    epochs: Annotated[int, Field(gt=0)]
    learning_rate: Annotated[float, Field(gt=0)]
    batch_texts: Annotated[int, Field(gt=0)]
    temperature: Annotated[float, Field(gt=0)]
    hidden_weight: Annotated[float, Field(ge=0, description="of matching the teacher's layers")]
    label_weight: Annotated[float, Field(ge=0, description="of the true labels' cross-entropy")]


class ExportSection(_Section):
    """The ONNX graph and how closely it must follow torch."""

    tolerance: Annotated[float, Field(gt=0, description="largest difference of a logit")]


class QuantizeSection(_Section):
    """int8 weights, embeddings included, and the accuracy that they may cost."""

    max_accuracy_drop: Annotated[float, Field(ge=0, description="on validation, a fraction")]


class Recipe(_Section):
    """One variant: either a teacher (data, train), a student (distill) or a quantised parent.

    `parent` names the variant that it is made from.
    """

    variant: str
    family: str
    parent: str | None = None
    data: DataSection | None = None
    train: TrainSection | None = None
    distill: DistillSection | None = None
    export: ExportSection | None = None
    quantize: QuantizeSection | None = None

    @model_validator(mode="after")
    def _is_one_kind(self) -> "Recipe":
        present = {
            name
            for name in ("data", "train", "distill", "export", "quantize")
            if getattr(self, name) is not None
        }
        kinds: dict[bool, list[set[str]]] = {
            True: [{"data", "train", "export"}],
            False: [{"distill", "export"}, {"quantize"}],
        }
        allowed = kinds[self.parent is None]
        if present not in allowed:
            having = "without" if self.parent is None else "with"
            wanted = " or ".join(str(sorted(kind)) for kind in allowed)
            raise ValueError(f"a recipe {having} parent has the sections {wanted}")
        return self

    @property
    def max_length(self) -> int | None:
        """The longest input in tokens, special ones included; only the teacher says it."""
        return self.train.max_length if self.train else None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that make this variant, in order."""
        if self.quantize:
            return ("quantize", "evaluate", "publish")
        if self.distill:
            return ("distill", "export", "evaluate", "publish")
        return ("data", "train", "export", "evaluate", "publish")


def read_recipe(path: Path) -> Recipe:
    """Parse a recipe; its variant is the file's name.

    Raises RecipeError naming the file and the key when it is missing, unknown or out of range.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return Recipe(variant=path.stem, **content)
    except (OSError, tomllib.TOMLDecodeError, TypeError) as error:
        raise RecipeError(f"{path} is not a readable recipe: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the recipe"
        raise RecipeError(f"{path}: {key}: {first['msg']}") from error


def lineage(path: Path) -> list[Recipe]:
    """The recipe with its ancestors, the root (the teacher) first.

    Parents are looked up beside the file. Raises RecipeError on a circle or a missing parent.
    """
    recipes = [read_recipe(path)]
    while (parent := recipes[0].parent) is not None:
        if any(recipe.variant == parent for recipe in recipes):
            raise RecipeError(f"{path}: parent {parent} descends from itself: break the circle")
        recipes.insert(0, read_recipe(path.with_name(f"{parent}.toml")))
    return recipes


def in_parent_order(folder: Path) -> list[Path]:
    """All recipes of a folder, every parent before its children.

    Raises RecipeError when one is wrong or there is none.
    """
    paths = sorted(folder.glob("*.toml"))
    if not paths:
        raise RecipeError(f"{folder} holds no recipe: name one on the command line")
    return sorted(paths, key=lambda path: (len(lineage(path)), path.stem))
