"""The section `data` of a recipe: what each key means, its range and its default."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from models.data.declared import check_bins, check_encoding
from models.recipe_sections import Location, Missing, ProblemType, Section, Share


class DataSection(Section):
    """Where the labelled texts are, what their columns are called, and how they are split.

    A location is a path relative to the recipe's folder, `fetched:NAME` for what the command
    downloads, or `hub:OWNER/NAME` with an optional `#CONFIG` and `:SPLIT`. A number in the label
    column is an index into `labels`, from 0, unless there are `bins` or the labels are numbers
    themselves.
    """

    files: Annotated[tuple[Location, ...], Field(min_length=1)]
    """Tables with labelled texts, split by a hash of the text or of the group."""
    splits: dict[Literal["validation", "calibration", "test"], tuple[Location, ...]] = Field(
        default_factory=dict
    )
    """Splits that are read from tables of their own instead: split -> locations."""
    unlabelled: tuple[Location, ...] = ()
    """Tables of texts without labels; students learn the teacher's outputs on them."""
    text: str = "text"
    """Column of the text."""
    label: str = "label"
    """Column of the label: a name, a number, or with multi_label a list of names."""
    group: str | None = None
    """Column whose equal rows stay in one split, e.g. a customer."""
    group_report: tuple[str, ...] = ()
    """Columns of groups, such as a region, that `python -m models groups` compares."""
    truth: Literal["labels", "teacher"] = "labels"
    """With `teacher`, `files` need no labels: the adopted classifier's answers are the truth.

    All that is measured is then agreement with it, and nothing is said of accuracy.
    """
    problem_type: ProblemType = "single_label"
    """Whether a text has exactly one label, or any number of them."""
    separator: str | None = None
    """What separates the names in a multi_label cell that is one string."""
    encoding: str | None = None
    """Encoding of the tables that are text, such as "cp1252"; by default each file's own."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """What separates the cells of CSV files; by default what gives the columns their names."""
    rename: dict[str, str] = Field(default_factory=dict)
    """For a label column: name in the table -> label, e.g. to make "Spam" and "spam" one."""
    missing: Missing = "refuse"
    """What becomes of rows whose label is empty or NaN."""
    bins: dict[str, tuple[float, float]] | None = None
    """For a numeric label column: label -> [from, to].

    An edge that two bins share belongs to the upper one; a row in no bin is a text without a label.
    """
    labels: tuple[str, ...] | None = None
    """The labels in order; by default in the order of the bins, or sorted."""
    seed: str = "0"
    """Salt of the hash that assigns a text to a split."""
    validation_share: Share = 0.08
    """Share of `files` by which epochs and number formats are chosen."""
    calibration_share: Share = 0.08
    """Share of `files` by which probabilities and cascades are calibrated."""
    test_share: Share = 0.16
    """Share of `files` on which scores are reported, and nothing else."""

    @model_validator(mode="after")
    def _is_consistent(self) -> "DataSection":
        everything = [*self.files, *(name for files in self.splits.values() for name in files)]
        for name in (*everything, *self.unlabelled):
            if (*everything, *self.unlabelled).count(name) > 1:
                raise ValueError(f"{name} is listed twice: a text may be in one split only")
        if self.validation_share + self.calibration_share + self.test_share >= 1:
            raise ValueError("the shares leave nothing to train on: make them smaller")
        single = self.problem_type == "single_label"
        if single and self.separator is not None:
            raise ValueError('separator needs problem_type = "multi_label": set that or remove it')
        if self.truth == "teacher" and (self.bins or self.rename or self.labels):
            raise ValueError('truth = "teacher" reads no labels: remove bins, rename and labels')
        if self.encoding is not None:
            check_encoding(self.encoding)
        if self.labels is not None and (len(set(self.labels)) < len(self.labels)):
            raise ValueError("labels lists a name twice: list each label once")
        if self.labels is not None and len(self.labels) < 1 + single:
            raise ValueError("labels lists too few names for a choice: list every label")
        if self.bins is not None:
            check_bins(self.bins, single)
        return self
