"""A recipe: one TOML file that says how one variant is made.

It does not know how a stage does its work, nor which stages are already done.
"""

import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

RECIPES = Path(__file__).parent / "recipes"

Share = Annotated[float, Field(gt=0, lt=1)]
KeptShare = Annotated[float, Field(gt=0, le=1)]
Split = Literal["train", "validation", "calibration", "test"]
ProblemType = Literal["single_label", "multi_label"]
Scheme = Literal["int8-dynamic", "int8-static", "int8-openvino", "int4", "fp16"]
Stage = Literal[
    "data",
    "train",
    "adopt",
    "distill",
    "prune",
    "sparsify",
    "export",
    "quantize",
    "evaluate",
    "package",
]
STAGES: tuple[Stage, ...] = get_args(Stage)
_WEIGHTS: tuple[Stage, ...] = ("train", "adopt", "distill", "prune", "sparsify")

Location = Annotated[
    str,
    Field(
        min_length=1,
        description="a path, relative to the recipe's folder; `fetched:NAME`, which fetch.py "
        "provides; or `hub:OWNER/NAME` (a data set may end in `#CONFIG` and `:SPLIT`)",
    ),
]


class RecipeError(Exception):
    """A recipe is wrong or asks for something impossible; the message names the remedy."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSection(_Section):
    """Where the labelled texts are, what their columns are called, and how they are split.

    `files` are split by a hash of the text (or of the `group` column, whose rows stay together);
    a split that `splits` names is read from there instead. The label column holds a name; a
    number, cut by `bins` into names (a row in no bin is unlabelled text); or, when
    `problem_type` is multi_label, a list of names or one string of them around `separator`.
    A number without bins counts through `labels`, from 0, unless these are numbers themselves.
    """

    files: Annotated[tuple[Location, ...], Field(min_length=1)]
    splits: dict[Literal["validation", "calibration", "test"], tuple[Location, ...]] = {}
    unlabelled: tuple[Location, ...] = ()
    text: str = "text"
    label: str = "label"
    group: str | None = None
    problem_type: ProblemType = "single_label"
    separator: str | None = None
    bins: dict[str, tuple[float, float]] | None = Field(
        default=None,
        description="label -> [from, to] of a numeric label column; the edge of two that touch "
        "is the upper one's",
    )
    labels: tuple[str, ...] | None = Field(
        default=None, description="their order; by default the bins' or else sorted"
    )
    seed: str = Field(default="0", description="salt of the hash that assigns to a split")
    validation_share: Share = 0.08
    calibration_share: Share = 0.08
    test_share: Share = 0.16

    @model_validator(mode="after")
    def _is_consistent(self) -> "DataSection":
        everything = [*self.files, *(name for files in self.splits.values() for name in files)]
        for name in (*everything, *self.unlabelled):
            if (*everything, *self.unlabelled).count(name) > 1:
                raise ValueError(f"{name} is named twice: a text may be in one split only")
        if self.validation_share + self.calibration_share + self.test_share >= 1:
            raise ValueError("the shares leave nothing to train on: make them smaller")
        single = self.problem_type == "single_label"
        if single and self.separator is not None:
            raise ValueError('separator is for problem_type = "multi_label"')
        if self.labels is not None and (len(set(self.labels)) < len(self.labels)):
            raise ValueError("labels has a name twice: name each label once")
        if self.labels is not None and len(self.labels) < 1 + single:
            raise ValueError("labels has too few names to tell apart: name each label")
        if self.bins is not None:
            _check_bins(self.bins, single)
        return self


def _check_bins(bins: dict[str, tuple[float, float]], single: bool) -> None:
    if not single or len(bins) < 2:
        raise ValueError('bins: give two or more, with problem_type = "single_label"')
    ordered = sorted(bins, key=lambda name: bins[name])
    for name in ordered:
        low, high = bins[name]
        if not low < high:
            raise ValueError(f"bins: {name} is [{low}, {high}]: write the smaller number first")
    for lower, upper in pairwise(ordered):
        if bins[lower][1] > bins[upper][0]:
            raise ValueError(f"bins: {lower} and {upper} overlap: they may share an edge at most")


class _Training(_Section):
    seed: int = 0
    epochs: Annotated[int, Field(gt=0)]
    learning_rate: Annotated[float, Field(gt=0)]
    batch_texts: Annotated[int, Field(gt=0)] = 32


class TrainSection(_Training):
    """Fine-tuning of a base model, in full or through low-rank adapters that are merged after."""

    base: Location
    max_length: Annotated[int, Field(ge=3, le=8192, description="tokens, special ones included")]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    lora_rank: Annotated[int, Field(gt=0)] | None = None


class AdoptSection(_Section):
    """A fine-tuned `*ForSequenceClassification` folder, taken as the teacher as it is."""

    folder: Location
    max_length: Annotated[int, Field(ge=3, le=8192, description="tokens, special ones included")]


class DistillSection(_Training):
    """A student made of some of its teacher's layers, and perhaps fewer words and less width."""

    layers: Annotated[tuple[int, ...], Field(min_length=1)]
    width: Annotated[int, Field(gt=0, description="of the hidden states")] | None = None
    intermediate: Annotated[int, Field(gt=0, description="of the feed-forward")] | None = None
    vocabulary_words: (
        Annotated[int, Field(gt=0, description="upper bound of the trimmed vocabulary")] | None
    ) = None
    augmented_copies: Annotated[
        int, Field(ge=0, description="altered copies of each text, answered by the teacher")
    ] = 0
    temperature: Annotated[float, Field(gt=0)]
    hidden_weight: Annotated[float, Field(ge=0, description="of matching the teacher's layers")]
    label_weight: Annotated[float, Field(ge=0, description="of the true labels' loss")]


class PruneSection(_Training):
    """Heads, feed-forward units and layers of the parent removed, then trained to answer as it."""

    keep_heads: KeptShare = 1.0
    keep_intermediate: KeptShare = 1.0
    keep_layers: KeptShare = 1.0
    temperature: Annotated[float, Field(gt=0)] = 2.0


class SparsifySection(_Training):
    """The smallest weights of the parent set to zero, then trained to answer as it."""

    sparsity: Share
    temperature: Annotated[float, Field(gt=0)] = 2.0


class ExportSection(_Section):
    """The ONNX graph and how closely it must follow torch."""

    tolerance: Annotated[float, Field(gt=0, description="largest difference of a logit")] = 1e-4


class QuantizeSection(_Section):
    """A smaller number format for the parent's weights, embeddings included.

    When it costs more than `max_accuracy_drop` on validation, the most sensitive operators keep
    the parent's format, as few as needed.
    """

    scheme: Scheme = "int8-dynamic"
    max_accuracy_drop: Annotated[float, Field(ge=0, description="on validation, a fraction")]


class EvaluateSection(_Section):
    """The floor: a variant under it is not published."""

    min_accuracy: Annotated[float, Field(ge=0, le=1, description="on the test split")]


class Recipe(_Section):
    """One variant: a teacher, a parent's weights changed, or a parent's graph quantised.

    A teacher has data and train or adopt; the others distill, prune, sparsify or quantize.
    `parent` names the variant that it is made from; `folder` is where the recipe lies.
    """

    variant: str
    family: str
    folder: Path = Field(exclude=True)
    parent: str | None = None
    data: DataSection | None = None
    train: TrainSection | None = None
    adopt: AdoptSection | None = None
    distill: DistillSection | None = None
    prune: PruneSection | None = None
    sparsify: SparsifySection | None = None
    export: ExportSection | None = None
    quantize: QuantizeSection | None = None
    evaluate: EvaluateSection | None = None

    @model_validator(mode="after")
    def _is_one_kind(self) -> "Recipe":
        optional = {"export", "evaluate"}
        present = {name for name in STAGES if getattr(self, name, None) is not None}
        kinds: dict[bool, list[set[str]]] = {
            True: [{"data", "train"}, {"data", "adopt"}],
            False: [{"distill"}, {"prune"}, {"sparsify"}, {"quantize"}],
        }
        allowed = kinds[self.parent is None]
        if present - optional not in allowed:
            having = "without" if self.parent is None else "with"
            wanted = " or ".join(" and ".join(sorted(kind)) for kind in allowed)
            raise ValueError(f"a recipe {having} parent has the sections {wanted}")
        if self.quantize and self.export:
            raise ValueError("quantize takes its parent's graph: leave export out")
        return self

    @property
    def max_length(self) -> int | None:
        """The longest input in tokens, special ones included; only the teacher says it."""
        root = self.train or self.adopt
        return root.max_length if root else None

    @property
    def weights_stage(self) -> Stage | None:
        """The stage that leaves the weights; None when the variant has none of its own."""
        return next((stage for stage in _WEIGHTS if getattr(self, stage) is not None), None)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that make this variant, in order."""
        if self.weights_stage is None:
            return ("quantize", "evaluate", "package")
        first: tuple[Stage, ...] = ("data",) if self.data else ()
        return (*first, self.weights_stage, "export", "evaluate", "package")


def read_recipe(path: Path) -> Recipe:
    """Parse a recipe; its variant is the file's name.

    Raises RecipeError naming the file and the key when it is missing, unknown or out of range.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return Recipe(variant=path.stem, folder=path.parent, **content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the recipe"
        message = first["msg"].removeprefix("Value error, ")
        raise RecipeError(f"{path}: {key}: {message}") from error
    except (OSError, ValueError, TypeError) as error:
        raise RecipeError(f"{path} is not a readable recipe: {error}") from error


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
