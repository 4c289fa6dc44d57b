"""What the planner decides by: the model and the texts as they were found. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from models.data.section import DataSection
from models.recipe_sections import ProblemType, TrainingPrecision

Kind = Literal["classifier", "base"]


@dataclass(frozen=True)
class ModelFacts:
    """The model to compress.

    `is_cuttable` says whether layers can be left out, `is_narrowable` and `is_trimmable` whether
    these and its vocabulary can be made smaller; `longest` is the most tokens it reads.
    """

    kind: Kind
    layers: int
    width: int
    embedding_width: int
    heads: int
    intermediate: int
    words: int
    parameters: int
    longest: int
    is_narrowable: bool
    is_trimmable: bool
    is_cuttable: bool = True


@dataclass(frozen=True)
class TextFacts:
    """The user's texts.

    `rows` counts different texts, since equal ones are divided once. `labels` counts the labelled
    rows of each label, and is empty if no text has one. `most_tokens` is the length of the
    longest, as far as a sample and the texts of most characters show; `unknown` is the share of
    the sample's tokens that the vocabulary does not know. `labelled` and `unlabelled` are the files
    with a column of labels and without, as locations in a recipe, `more` those whose labels are not
    read. `columns` are the keys of [data] that say how to read a row, `seed` the one that divides
    them.
    """

    rows: int
    unlabelled_rows: int
    labels: Mapping[str, int]
    problem_type: ProblemType
    most_tokens: int
    unknown: float
    labelled: tuple[str, ...]
    unlabelled: tuple[str, ...]
    columns: Mapping[str, str]
    more: tuple[str, ...] = ()
    seed: str = DataSection.model_fields["seed"].default


@dataclass(frozen=True)
class Facts:
    """All of it, and what one text takes the whole model here, in seconds.

    `training_s` is training in `precision`, which is what is faster, and `student_s` the same
    without dropout; `scoring_s` is an answer in fp32.
    """

    model: ModelFacts
    texts: TextFacts
    training_s: float
    student_s: float
    scoring_s: float
    precision: TrainingPrecision = "fp32"
