"""The sections of a recipe: what each stage can be told, with ranges and descriptions."""

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
        description="label -> [from, to] of a numeric label column; an edge shared by two bins "
        "belongs to the upper one",
    )
    labels: tuple[str, ...] | None = Field(
        default=None,
        description="the labels in order; by default in the order of the bins, or sorted",
    )
    seed: str = Field(default="0", description="salt of the hash that assigns a text to a split")
    validation_share: Share = 0.08
    calibration_share: Share = 0.08
    test_share: Share = 0.16

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
    """What every stage that trains is told: how long, how fast, and from which seed."""

    seed: int = 0
    epochs: Annotated[int, Field(gt=0)]
    learning_rate: Annotated[float, Field(gt=0)]
    batch_texts: Annotated[int, Field(gt=0)] = 32


class TrainSection(TrainingSection):
    """Fine-tuning of a base model, in full or with low-rank adapters that are merged afterwards."""

    base: Location
    max_length: Annotated[int, Field(ge=3, le=8192, description="tokens, special ones included")]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    lora_rank: Annotated[int, Field(gt=0)] | None = None


class AdoptSection(Section):
    """A fine-tuned `*ForSequenceClassification` model, used as the teacher without training."""

    folder: Location
    max_length: Annotated[int, Field(ge=3, le=8192, description="tokens, special ones included")]


class DistillSection(TrainingSection):
    """A student with some of its teacher's layers, optionally narrower and with fewer words."""

    layers: Annotated[tuple[int, ...], Field(min_length=1)]
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
    temperature: Annotated[float, Field(gt=0)]
    hidden_weight: Annotated[
        float, Field(ge=0, description="weight of matching the teacher's hidden states")
    ]
    label_weight: Annotated[float, Field(ge=0, description="weight of the true labels' loss")]


class PruneSection(TrainingSection):
    """The parent without some heads, feed-forward units and layers, trained to match it."""

    keep_heads: KeptShare = 1.0
    keep_intermediate: KeptShare = 1.0
    keep_layers: KeptShare = 1.0
    temperature: Annotated[float, Field(gt=0)] = 2.0


class SparsifySection(TrainingSection):
    """The parent with its smallest weights set to zero, trained to match it."""

    sparsity: Share
    temperature: Annotated[float, Field(gt=0)] = 2.0


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

    scheme: Scheme = "int8-dynamic"
    max_accuracy_drop: Annotated[
        float, Field(ge=0, description="largest drop of accuracy on validation, as a fraction")
    ]


class EvaluateSection(Section):
    """The least accuracy at which a variant is published."""

    min_accuracy: Annotated[
        float, Field(ge=0, le=1, description="least accuracy on the test split")
    ]
