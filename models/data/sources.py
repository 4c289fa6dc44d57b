"""Where a recipe's `location` is: a path, what fetch.py provides, or the Hugging Face hub.

It does not know what is read from there, nor how it is downloaded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.recipe import Recipe, RecipeError, Stage

FETCHED = "fetched:"
_HUB = "hub:"


@dataclass(frozen=True)
class Place:
    """A file or folder (`path`), or a `hub` name; a data set also has a `config` and a `split`."""

    path: Path | None
    hub: str | None = None
    config: str | None = None
    split: str | None = None

    def __str__(self) -> str:
        """What the user calls it."""
        if self.path:
            return str(self.path)
        return f"{_HUB}{self.hub}" + (f"#{self.config}" if self.config else "")

    @property
    def name(self) -> str:
        """What `from_pretrained` and `load_dataset` take."""
        return str(self.path or self.hub)


def place(location: str, recipe: Recipe, sources: Path) -> Place:
    """Where `location` of `recipe` is; `sources` is what fetch.py fetched.

    Raises RecipeError when a path is not there.
    """
    if location.startswith(_HUB):
        rest, _, split = location.removeprefix(_HUB).partition(":")
        hub, _, config = rest.partition("#")
        return Place(None, hub, config or None, split or None)
    if location.startswith(FETCHED):
        path, split = sources / location.removeprefix(FETCHED), ""
    else:
        path, split = recipe.folder / location, ""
        if not path.exists() and ":" in path.name:
            name, _, split = location.rpartition(":")
            path = recipe.folder / name
    if not path.exists():
        raise RecipeError(
            f"{path} is not there: correct `{location}` in the recipe {recipe.variant} "
            "(a path is relative to the recipe's folder)"
        )
    return Place(path, split=split or None)


def locations(recipe: Recipe, stage: Stage) -> Iterator[str]:
    """What a stage of a recipe reads from outside the build folder."""
    if stage == "data" and recipe.data:
        yield from recipe.data.files
        for files in recipe.data.splits.values():
            yield from files
        yield from recipe.data.unlabelled
    if stage == "train" and recipe.train:
        yield recipe.train.base
    if stage in ("data", "adopt") and recipe.adopt:
        yield recipe.adopt.folder


def fetched(recipe: Recipe, stage: Stage) -> set[str]:
    """The names that fetch.py must provide for a stage of a recipe."""
    return {
        location.removeprefix(FETCHED)
        for location in locations(recipe, stage)
        if location.startswith(FETCHED)
    }
