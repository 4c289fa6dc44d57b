"""Resolves a recipe's locations: paths, `fetched:` names and names on the Hugging Face hub."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.recipe import Recipe, RecipeError, Stage

FETCHED = "fetched:"
HUB = "hub:"


@dataclass(frozen=True)
class Source:
    """A file or folder (`path`), or a `hub` name; a data set may have a `config` and a `split`."""

    path: Path | None
    hub: str | None = None
    config: str | None = None
    split: str | None = None

    def __str__(self) -> str:
        """Return the name that the user knows it by."""
        if self.path:
            return str(self.path)
        return f"{HUB}{self.hub}" + (f"#{self.config}" if self.config else "")

    @property
    def name(self) -> str:
        """The argument for `from_pretrained` and `load_dataset`."""
        return str(self.path or self.hub)


def resolve(location: str, recipe: Recipe, downloads: Path) -> Source:
    """Find a recipe's location; `downloads` is the folder of the `fetched:` names.

    Raises RecipeError when a path does not exist.
    """
    if location.startswith(HUB):
        rest, _, split = location.removeprefix(HUB).partition(":")
        hub, _, config = rest.partition("#")
        return Source(None, hub, config or None, split or None)
    if location.startswith(FETCHED):
        path, split = downloads / location.removeprefix(FETCHED), ""
    else:
        path, split = recipe.folder / location, ""
        if not path.exists() and ":" in path.name:
            name, _, split = location.rpartition(":")
            path = recipe.folder / name
    # Without the way through the recipe's folder, unless that leads elsewhere by a link.
    short = Path(os.path.normpath(path))
    if not path.exists():
        raise RecipeError(
            f"{short} does not exist: correct `{location}` in the recipe {recipe.variant} "
            "(paths are relative to the recipe's folder)"
        )
    is_it = short.exists() and short.samefile(path)
    return Source(short if is_it else path, split=split or None)


def locations(recipe: Recipe, stage: Stage) -> Iterator[str]:
    """Yield the locations that a stage of a recipe reads."""
    if stage == "data" and recipe.data:
        yield from recipe.data.files
        for files in recipe.data.splits.values():
            yield from files
        yield from recipe.data.unlabelled
    if stage in ("inspect", "train") and recipe.train:
        yield recipe.train.base
    if stage == "distill" and recipe.distill and recipe.distill.base:
        yield recipe.distill.base
    if stage == "static" and recipe.static and recipe.static.teacher:
        yield recipe.static.teacher
    if stage in ("data", "inspect", "adopt") and recipe.adopt:
        yield recipe.adopt.folder


def fetched(recipe: Recipe, stage: Stage) -> set[str]:
    """Return the `fetched:` names that a stage of a recipe needs."""
    return {
        location.removeprefix(FETCHED)
        for location in locations(recipe, stage)
        if location.startswith(FETCHED)
    }
