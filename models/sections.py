"""The sections of a recipe: the keys of each stage, with ranges and descriptions."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(gt=0, lt=1)]
KeptShare = Annotated[float, Field(gt=0, le=1)]
Split = Literal["train", "validation", "calibration", "test"]
ProblemType = Literal["single_label", "multi_label"]
Scheme = Literal["int8-dynamic", "int8-static", "int8-openvino", "int4", "fp16"]
Location = Annotated[
    str,
    Field(
        min_length=1,
        description="a path relative to the recipe's folder; `fetched:NAME`, which the command "
        "downloads; or `hub:OWNER/NAME` (a data set may end in `#CONFIG` and `:SPLIT`)",
    ),
]


class Section(BaseModel):
    """Frozen, and strict: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSection(Section):
    """Where the labelled texts are, what their columns are called, and how they are split.

    `files` are split by a hash of the text, or of the `group` column, whose rows stay together;
    the splits in `splits` are read from files of their own. The label column holds a name; a
    number, which `bins` turn into a name (a row in no bin is unlabelled text); or, if
    `problem_type` is multi_label, a list of names or one string of names with a `separator`
    between them. A number without bins is an index into `labels`, from 0, unless the labels are
    numbers themselves.
    """

    files: Annotated[
        tuple[Location, ...], Field(min_length=1, description="tables of labelled texts")
    ]
    splits: dict[Literal["validation", "calibration", "test"], tuple[Location, ...]] = Field(
        default={}, description="tables for a split alone; the other splits come from `files`"
    )
    unlabelled: tuple[Location, ...] = Field(
        default=(), description="tables of texts without labels, which a teacher labels"
    )
    text: str = Field(default="text", description="column of the text")
    label: str = Field(default="label", description="column of the label or labels")
    group: str | None = Field(
        default=None, description="column whose equal rows stay in one split, such as an author"
    )
    problem_type: ProblemType = Field(
        default="single_label", description="exactly one label a text, or any number"
    )
    separator: str | None = Field(
        default=None, description="what separates the labels when they are one string"
    )
    bins: dict[str, tuple[float, float]] | None = Field(
        default=None,
        description="label -> [from, to] of a numeric label column; an edge shared by two bins "
        "belongs to the upper one",
    )
    labels: tuple[str, ...] | None = Field(
        default=None,
        description="the labels in order; by default in the order of the bins, or sorted",
    )
    seed: str = Field(default="0", description="salt of the hash that assigns a text to a split")
    validation_share: Share = Field(
        default=0.08, description="share of `files` to pick epochs and number formats by"
    )
    calibration_share: Share = Field(
        default=0.08, description="share of `files` to calibrate probabilities and cascades by"
    )
    test_share: Share = Field(
        default=0.16, description="share of `files` that is only used to report scores"
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> "DataSection":
        everything = [*self.files, *(name for files in self.splits.values() for name in files)]
        for name in (*everything, *self.unlabelled):
            if (*everything, *self.unlabelled).count(name) > 1:
                raise ValueError(
                    f"{name} is listed twice: list it once, because a text may be in one split only"
                )
        if self.validation_share + self.calibration_share + self.test_share >= 1:
            raise ValueError(
                "the shares leave nothing to train on: make those of validation, calibration and "
                "test smaller"
            )
        single = self.problem_type == "single_label"
        if single and self.separator is not None:
            raise ValueError(
                'separator needs problem_type = "multi_label": set that or remove separator'
            )
        if self.labels is not None and (len(set(self.labels)) < len(self.labels)):
            raise ValueError("labels lists a name twice: list each label once")
        if self.labels is not None and len(self.labels) < 1 + single:
            raise ValueError("labels lists too few names for a choice: list every label")
        if self.bins is not None:
            _check_bins(self.bins, single)
        return self


def _check_bins(bins: dict[str, tuple[float, float]], single: bool) -> None:
    if not single or len(bins) < 2:
        raise ValueError('bins: list two or more, with problem_type = "single_label"')
    ordered = sorted(bins, key=lambda name: bins[name])
    for name in ordered:
        low, high = bins[name]
        if not low < high:
            raise ValueError(f"bins: {name} is [{low}, {high}]: write the smaller number first")
    for lower, upper in pairwise(ordered):
        if bins[lower][1] > bins[upper][0]:
            raise ValueError(f"bins: {lower} and {upper} overlap: let them share an edge at most")


class TrainingSection(Section):
    """The keys of every section that trains."""

    seed: int = Field(default=0, description="of all random numbers in this stage")
    epochs: Annotated[
        int, Field(gt=0, description="passes over the texts; validation picks the best")
    ]
    learning_rate: Annotated[float, Field(gt=0, description="at its peak; it falls linearly to 0")]
    batch_texts: Annotated[int, Field(gt=0, description="texts a training step")] = 32


class TrainSection(TrainingSection):
    """Fine-tuning of a base model, in full or with low-rank adapters that are merged afterwards."""

    base: Location = Field(description="the base model")
    max_length: Annotated[int, Field(ge=3, le=8192, description="tokens, special ones included")]
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, description="probability taken from the true label")
    ] = 0.0
    class_weights: Literal["none", "balanced"] = Field(
        default="none", description="`balanced` makes rare labels count as much as frequent ones"
    )
    lora_rank: Annotated[
        int | None, Field(gt=0, description="rank of low-rank adapters; without it all is trained")
    ] = None


class AdoptSection(Section):
    """A fine-tuned `*ForSequenceClassification` model, used as the teacher without training."""

    folder: Location = Field(description="the fine-tuned model")
    max_length: Annotated[int, Field(ge=3, le=8192, description="tokens, special ones included")]


class DistillSection(TrainingSection):
    """A student with some of its teacher's layers, optionally narrower and with fewer words."""

    layers: Annotated[
        tuple[int, ...], Field(min_length=1, description="the teacher's layers to keep, from 0")
    ]
    width: Annotated[int, Field(gt=0, description="width of the hidden states")] | None = None
    intermediate: (
        Annotated[int, Field(gt=0, description="units of a feed-forward layer")] | None
    ) = None
    vocabulary_words: (
        Annotated[int, Field(gt=0, description="largest size of the trimmed vocabulary")] | None
    ) = None
    augmented_copies: Annotated[
        int, Field(ge=0, description="altered copies of each text, labelled by the teacher")
    ] = 0
    temperature: Annotated[
        float, Field(gt=0, description="softens the teacher's probabilities, by which it teaches")
    ]
    hidden_weight: Annotated[
        float, Field(ge=0, description="weight of matching the teacher's hidden states")
    ]
    label_weight: Annotated[float, Field(ge=0, description="weight of the true labels' loss")]


class PruneSection(TrainingSection):
    """The parent without some heads, feed-forward units and layers, trained to match it."""

    keep_heads: KeptShare = Field(default=1.0, description="share of attention heads to keep")
    keep_intermediate: KeptShare = Field(
        default=1.0, description="share of feed-forward units to keep"
    )
    keep_layers: KeptShare = Field(default=1.0, description="share of layers to keep")
    temperature: Annotated[
        float, Field(gt=0, description="softens the parent's probabilities, by which it teaches")
    ] = 2.0


class SparsifySection(TrainingSection):
    """The parent with its smallest weights set to zero, trained to match it."""

    sparsity: Share = Field(description="share of the layers' weights to set to zero")
    temperature: Annotated[
        float, Field(gt=0, description="softens the parent's probabilities, by which it teaches")
    ] = 2.0


class ExportSection(Section):
    """The ONNX graph, and how closely it must match torch."""

    tolerance: Annotated[
        float, Field(gt=0, description="largest difference of a logit from torch's")
    ] = 1e-4


class QuantizeSection(Section):
    """A smaller number format for the parent's weights, embeddings included.

    If accuracy on validation drops by more than `max_accuracy_drop`, the most sensitive operators
    keep the parent's format, as few as needed.
    """

    scheme: Scheme = Field(
        default="int8-dynamic", description="the number format, and how to get it"
    )
    max_accuracy_drop: Annotated[
        float, Field(ge=0, description="largest drop of accuracy on validation, as a fraction")
    ]


class EvaluateSection(Section):
    """The least accuracy at which a variant is published."""

    min_accuracy: Annotated[
        float, Field(ge=0, le=1, description="least accuracy on the test split")
    ]
