"""What a turn is wanted for, and what it works with."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from models.monitoring.log import FamilyLog, read_log
from models.retraining.live_versions import live_bundles
from models.retraining.recipes import Lineage, wanted_recipes
from models.retraining.record import Terms
from serving.bundles.bundle import Bundle


class Workshop(Protocol):
    """What makes variants, as the command has it."""

    def make(
        self, recipes: Sequence[Lineage], live: Collection[str], build: Path, registry: Path
    ) -> None:
        """Run all stages of recipes, and publish those of `live` variants.

        Raises RecipeError or BundleError for what is refused, after making all that can be made.
        """


@dataclass(frozen=True)
class Wanted:
    """The family and where it is, the log and tables to learn from, and the terms of a new turn.

    `texts` is how many of the log's newest texts are read, `build` the build folder of the family's
    recipes, `output` the folder of its reports.
    """

    family: str
    registry: Path
    recipes: Path
    log: str
    keys: Path | None
    texts: int
    labelled: Sequence[Path]
    terms: Terms
    build: Path
    output: Path

    @property
    def folder(self) -> Path:
        """Where the record is, and what is being made."""
        return self.build / "refresh" / self.family

    @property
    def tables(self) -> Path:
        """Where the texts to learn from are, in a folder for each root recipe."""
        return self.folder / "tables"

    @property
    def made_build(self) -> Path:
        """The build folder of the new versions."""
        return self.folder / "build"

    @property
    def made(self) -> Path:
        """The registry of the new versions."""
        return self.folder / "registry"

    def live(self) -> list[Bundle]:
        """Return the bundle that answers for each of the family's variants. Raises BundleError."""
        return live_bundles(self.registry, self.family)

    def lineages(self) -> list[Lineage]:
        """Return the recipes to make. Raises RecipeError or BundleError."""
        names = {each.manifest.variant for each in self.live()}
        return wanted_recipes(self.recipes, self.family, names)

    def read_log(self, texts: int) -> FamilyLog:
        """Read so many texts of the log, and all feedback. Raises StartError."""
        return read_log(self.log, self.keys, self.family, texts)
