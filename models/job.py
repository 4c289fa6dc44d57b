"""What a stage is given to work with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.recipe import Recipe


@dataclass(frozen=True)
class Job:
    """One run of a stage: its recipe, the folders to read and the folder to fill.

    `lineage` has the recipe's ancestors and the recipe itself, the teacher first. `inputs` maps an
    input's name (see Pipeline.inputs) to its folder. `seconds` has the durations of the stages
    that ran before. What is written into `checkpoint` is there again if the stage is killed and run
    once more with the same inputs.
    """

    lineage: tuple[Recipe, ...]
    inputs: dict[str, Path]
    output: Path
    seconds: dict[str, float]
    checkpoint: Path | None = None

    @property
    def recipe(self) -> Recipe:
        """The recipe of the variant."""
        return self.lineage[-1]

    @property
    def root(self) -> Recipe:
        """The teacher's recipe, which also describes the data."""
        return self.lineage[0]

    @property
    def max_length(self) -> int:
        """The longest input in tokens, special tokens included; the teacher's recipe sets it."""
        assert self.root.max_length is not None, "this is a bug: a root recipe sets it"
        return self.root.max_length


Runner = Callable[[Job], None]
"""A stage: reads the job's inputs, writes into its output folder, raises RecipeError to refuse."""
