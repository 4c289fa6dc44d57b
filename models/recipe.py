"""A recipe: one TOML file that describes how one variant is made."""

import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, ValidationError, model_validator

from models.data.section import DataSection
from models.recipe_sections import (
    AdoptSection,
    DistillSection,
    EvaluateSection,
    ExportSection,
    GatesSection,
    PruneSection,
    QuantizeSection,
    Section,
    SparsifySection,
    StaticSection,
    TrainSection,
)
from serving.bundles.files import read_text

RECIPES = Path(__file__).parent / "recipes"

Stage = Literal[
    "data",
    "inspect",
    "train",
    "adopt",
    "distill",
    "prune",
    "sparsify",
    "static",
    "export",
    "quantize",
    "evaluate",
    "package",
]
STAGES: tuple[Stage, ...] = get_args(Stage)
WEIGHTS_STAGES: tuple[Stage, ...] = ("train", "adopt", "distill", "prune", "sparsify", "static")


class RecipeError(Exception):
    """A recipe is wrong or cannot be followed; the message says what to do."""


class Recipe(Section):
    """One variant: a teacher, a model made from its parent's weights, or a quantized graph.

    A root has no parent: the section data, and train or adopt for a teacher, or static. Every other
    variant has a parent and one of distill, prune, sparsify, static and quantize.
    """

    variant: str
    """The file's name without `.toml`."""
    family: str
    """Family that the variant belongs to."""
    folder: Path = Field(exclude=True)
    """Folder of the recipe."""
    parent: str | None = None
    """Variant that it is made from, whose recipe is in the same folder."""
    data: DataSection | None = None
    """The texts and labels."""
    train: TrainSection | None = None
    """Fine-tune a base model."""
    adopt: AdoptSection | None = None
    """Use a fine-tuned classifier."""
    distill: DistillSection | None = None
    """Train a smaller student."""
    prune: PruneSection | None = None
    """Remove heads, units and layers."""
    sparsify: SparsifySection | None = None
    """Set weights to zero."""
    static: StaticSection | None = None
    """Train a classifier without attention."""
    export: ExportSection | None = None
    """How closely the graph must match torch."""
    quantize: QuantizeSection | None = None
    """Use a smaller number format."""
    evaluate: EvaluateSection | None = None
    """What a variant must reach to be published."""
    gates: GatesSection | None = None
    """What a variant must be shown to keep."""

    @model_validator(mode="after")
    def _is_one_kind(self) -> "Recipe":
        optional = {"export", "evaluate"}
        present = {name for name in STAGES if getattr(self, name, None) is not None}
        kinds: dict[bool, list[set[str]]] = {
            True: [{"data", "train"}, {"data", "adopt"}, {"data", "static"}],
            False: [{"distill"}, {"prune"}, {"sparsify"}, {"static"}, {"quantize"}],
        }
        allowed = kinds[self.parent is None]
        if present - optional not in allowed:
            having = "without" if self.parent is None else "with"
            wanted = " or ".join(" and ".join(sorted(kind)) for kind in allowed)
            raise ValueError(f"a recipe {having} a parent has the sections {wanted}")
        if self.quantize and self.export:
            raise ValueError("quantize starts from the parent's graph: remove the section export")
        return self

    @model_validator(mode="after")
    def _adopts_what_labels_the_texts(self) -> "Recipe":
        if self.data and self.data.truth == "teacher" and not self.adopt:
            raise ValueError('data: truth = "teacher" needs [adopt]: only a classifier has answers')
        return self

    @model_validator(mode="after")
    def _names_the_teacher_of_static_once(self) -> "Recipe":
        static = self.static
        if static is None:
            return self
        if self.parent and (static.teacher or static.max_length):
            raise ValueError(
                "static: the parent is the teacher and sets the longest input: remove teacher and "
                "max_length"
            )
        if not self.parent and static.max_length is None:
            raise ValueError("static: max_length is required in a recipe without a parent")
        if not (self.parent or static.teacher) and static.vocabulary == "teacher":
            raise ValueError(
                'static: no teacher has a vocabulary to take: set vocabulary = "learnt"'
            )
        if not (self.parent or static.teacher) and static.augmented_copies:
            raise ValueError("static: augmented_copies needs a teacher, which labels the copies")
        return self

    @property
    def max_length(self) -> int | None:
        """The longest input in tokens, special tokens included; None for all but a root."""
        root = self.train or self.adopt or self.static
        return root.max_length if root else None

    @property
    def weights_stage(self) -> Stage | None:
        """The stage that writes the weights; None if the variant has none of its own."""
        return next((stage for stage in WEIGHTS_STAGES if getattr(self, stage) is not None), None)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that make this variant, in order."""
        if self.weights_stage is None:
            return ("quantize", "evaluate", "package")
        first: tuple[Stage, ...] = ("data", "inspect") if self.data else ()
        return (*first, self.weights_stage, "export", "evaluate", "package")


def read_recipe(path: Path) -> Recipe:
    """Parse a recipe; the variant is the file's name without `.toml`.

    Raises RecipeError naming the file and the key that is missing, unknown or out of range.
    """
    try:
        content = tomllib.loads(read_text(path))
        return Recipe(variant=path.stem, folder=path.parent, **content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the recipe"
        message = first["msg"].removeprefix("Value error, ")
        raise RecipeError(f"{path}: {key}: {message}") from error
    except (OSError, ValueError, TypeError) as error:
        raise RecipeError(f"{path} cannot be read as a recipe: {error}") from error


def lineage(path: Path) -> list[Recipe]:
    """Return the recipe after its ancestors, the root (the teacher) first.

    Parents are in the same folder. Raises RecipeError on a circle, a missing parent, or one without
    the layers that the recipe works on.
    """
    recipes = [read_recipe(path)]
    while (parent := recipes[0].parent) is not None:
        if any(recipe.variant == parent for recipe in recipes):
            raise RecipeError(f"{path}: parent {parent} is its own ancestor: name another parent")
        recipes.insert(0, read_recipe(path.with_name(f"{parent}.toml")))
    _check_gates(recipes)
    for above, recipe in pairwise(recipes):
        if recipe.weights_stage not in (None, "static") and above.weights_stage in (None, "static"):
            kind = "a static classifier" if above.static else "quantized"
            raise RecipeError(
                f"{recipe.folder / recipe.variant}.toml: {recipe.weights_stage} needs a parent "
                f"with weights in layers, and {above.variant} is {kind}: name another parent"
            )
    return recipes


def _check_gates(recipes: list[Recipe]) -> None:
    """Raise RecipeError where a gate needs groups, or labels, that the data does not have."""
    recipe, data = recipes[-1], recipes[0].data
    gates = recipe.gates
    if gates is None or data is None:
        return
    where, root = f"{recipe.folder / recipe.variant}.toml", recipes[0].variant
    unlabelled = data.truth == "teacher"
    if gates.max_group_gap is not None and (not data.group_report or unlabelled):
        raise RecipeError(
            f"{where}: max_group_gap needs columns in `group_report` and labels that people gave, "
            f"in [data] of {root}: add them or remove it"
        )
    if gates.max_stress_drop is not None and unlabelled:
        raise RecipeError(
            f"{where}: max_stress_drop needs labels that people gave, in [data] of {root}: add "
            "them or remove it"
        )


def in_parent_order(folder: Path) -> list[Path]:
    """Return all recipes of a folder, every parent before its children.

    Raises RecipeError when one is wrong or there is none.
    """
    paths = sorted(folder.glob("*.toml"))
    if not paths:
        raise RecipeError(f"{folder} contains no recipe (*.toml): name another folder or a recipe")
    return sorted(paths, key=lambda path: (len(lineage(path)), path.stem))
