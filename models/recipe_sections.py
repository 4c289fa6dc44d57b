"""The sections of a recipe: what each key means, its range and its default."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.perturbations.names import Perturbation
from serving.bundles.normalization import Normalization

Share = Annotated[float, Field(gt=0, lt=1)]
KeptShare = Annotated[float, Field(gt=0, le=1)]
Split = Literal["train", "validation", "calibration", "test"]
TrainingPrecision = Literal["fp32", "bf16"]
ProblemType = Literal["single_label", "multi_label"]
Missing = Literal["refuse", "unlabelled"]
Scheme = Literal["int8-dynamic", "int8-static", "int8-openvino", "int4", "fp16"]
Location = Annotated[str, Field(min_length=1)]
"""A path, relative to the recipe's folder; `fetched:NAME`; or `hub:OWNER/NAME`.

`NAME` is something that data/downloads.py downloads; a data set may end in `#CONFIG` and `:SPLIT`.
"""


class Section(BaseModel):
    """A table of the file; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class TrainingSection(Section):
    """The keys of every section that trains."""

    seed: int = 0
    """Seed of everything random in the training."""
    epochs: Annotated[int, Field(gt=0)]
    """Passes over the training texts; validation picks the best."""
    learning_rate: Annotated[float, Field(gt=0)]
    """Peak learning rate; it falls linearly to 0."""
    batch_texts: Annotated[int, Field(gt=0)] = 32
    """Texts in a training batch."""
    precision: TrainingPrecision = "fp32"
    """Number format of the matrix products while training.

    bf16 takes half the time on devices that have it, such as CPUs with avx512_bf16 or AMX; others
    train in fp32.
    """


class AugmentedSection(TrainingSection):
    """The keys of students that also learn from altered copies of the texts."""

    augmented_copies: Annotated[int, Field(ge=0)] = 0
    """Altered copies of each text, which the teacher labels."""
    augmented_by: Annotated[tuple[Literal["mixing"] | Perturbation, ...], Field(min_length=1)] = (
        "mixing",
    )
    """How copies are altered; the kinds take turns.

    `mixing` exchanges spans between texts, masks words and drops some; the others are those of
    `python -m models stress`. A copy that should mean the same gets the teacher's answer to its
    original, others an answer of their own.
    """
    normalize: tuple[Normalization, ...] | None = None
    """How texts are normalised before all else; without it as by the teacher, if there is one."""


class TrainSection(TrainingSection):
    """Fine-tuning of a base model, in full or with low-rank adapters that are merged afterwards."""

    base: Location
    """The base model."""
    max_length: Annotated[int, Field(ge=3, le=8192)]
    """Longest input in tokens, special ones included; longer texts are refused or cut."""
    normalize: tuple[Normalization, ...] = ()
    """How texts are normalised before all else, here and wherever the variant reads them."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability taken from the true label and spread over all labels."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` makes rare labels count as much as frequent ones."""
    lora_rank: Annotated[int, Field(gt=0)] | None = None
    """Rank of low-rank adapters; without it all weights are trained."""
    max_unknown_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Largest share of the texts' tokens that the base's vocabulary may not know."""


class AdoptSection(Section):
    """A fine-tuned `*ForSequenceClassification` model, used as the teacher without training."""

    folder: Location
    """The classifier's folder."""
    max_length: Annotated[int, Field(ge=3, le=8192)]
    """Longest input in tokens, special ones included; longer texts are refused or cut."""
    normalize: tuple[Normalization, ...] = ()
    """How texts are normalised before all else."""


class DistillSection(AugmentedSection):
    """A student with some of its teacher's layers, optionally narrower and with fewer words.

    With `base` it starts from another pretrained model instead, and has that one's tokenizer.
    """

    base: Location | None = None
    """The pretrained model that the student starts from instead of its teacher."""
    layers: Annotated[tuple[int, ...], Field(min_length=1)]
    """The layers of the teacher, or of `base`, that the student starts from, counted from 0."""
    width: Annotated[int, Field(gt=0)] | None = None
    """Width of the hidden states; without it the teacher's."""
    heads: Annotated[int, Field(gt=0)] | None = None
    """Attention heads of each layer; without it as many as the teacher's, or fit into `width`."""
    intermediate: Annotated[int, Field(gt=0)] | None = None
    """Width of the feed-forward layers; without it the teacher's."""
    vocabulary_words: Annotated[int, Field(gt=0)] | None = None
    """Maximum size of the trimmed vocabulary; without it nothing is trimmed."""
    temperature: Annotated[float, Field(gt=0)]
    """Temperature that softens the teacher's probabilities, which the student learns."""
    hidden_weight: Annotated[float, Field(ge=0)]
    """Weight of the loss that matches the teacher's hidden states."""
    hidden_tokens: Literal["first", "all"] = "first"
    """Tokens whose states are matched.

    With `all` the student's layers are first fitted to the teacher's by least squares, and the
    teacher also reads the texts in the student's words.
    """
    label_weight: Annotated[float, Field(ge=0)]
    """Weight of the loss on the true labels."""
    max_drop: Share | None = None
    """Largest drop of validation accuracy from the teacher's; without it there is no limit.

    After a third of the epochs, training stops with an error once the gain of an epoch, the larger
    of the last two, would not reach it if it were repeated in all that are left.
    """

    @model_validator(mode="after")
    def _leaves_a_base_as_it_is(self) -> "DistillSection":
        if self.base and (self.width or self.heads or self.intermediate or self.hidden_weight):
            raise ValueError(
                "base: such a student has other layers than its teacher: remove width, heads and "
                "intermediate, and set hidden_weight to 0"
            )
        return self

    @model_validator(mode="after")
    def _matches_states_of_what_the_teacher_reads(self) -> "DistillSection":
        if self.hidden_tokens == "first":
            return self
        if not self.hidden_weight:
            raise ValueError(
                "hidden_tokens: no states are matched while hidden_weight is 0: raise that, or "
                "remove hidden_tokens"
            )
        if self.augmented_copies and set(self.augmented_by) != {"mixing"}:
            raise ValueError(
                "hidden_tokens: a copy that is answered as its original has other states: remove "
                'hidden_tokens, or let augmented_by be ["mixing"]'
            )
        if self.normalize is not None:
            raise ValueError(
                "hidden_tokens: a student learns the states of texts as its teacher reads them: "
                "remove normalize"
            )
        return self


class StaticSection(AugmentedSection):
    """A static classifier: token embeddings, their mean and a linear head.

    It learns the outputs of its parent, or of `teacher`, on the texts with and without labels. In a
    recipe without a parent it needs no teacher, and then learns from the labels alone.
    """

    teacher: Location | None = None
    """Folder of a bundle to learn from, in a recipe without a parent."""
    max_length: Annotated[int, Field(ge=3, le=8192)] | None = None
    """Longest input in tokens, special ones included; only in a recipe without a parent."""
    vocabulary: Literal["teacher", "learnt"] = "teacher"
    """A WordPiece teacher's most used tokens, or learnt from the texts, whatever the language."""
    vocabulary_words: Annotated[int, Field(gt=0)]
    """Maximum size of the vocabulary."""
    width: Annotated[int, Field(gt=0)] = 64
    """Width of the token embeddings."""
    temperature: Annotated[float, Field(gt=0)] = 2.0
    """Temperature that softens the teacher's probabilities, which are learned."""
    label_weight: Annotated[float, Field(ge=0)] = 0.3
    """Weight of the loss on the true labels beside a teacher's outputs."""


class PruneSection(TrainingSection):
    """The parent without some heads, feed-forward units and layers, trained to match it."""

    keep_heads: KeptShare = 1.0
    """Share of each layer's attention heads to keep."""
    keep_intermediate: KeptShare = 1.0
    """Share of each layer's feed-forward units to keep."""
    keep_layers: KeptShare = 1.0
    """Share of the layers to keep."""
    temperature: Annotated[float, Field(gt=0)] = 2.0
    """Temperature that softens the parent's probabilities, which are learned."""


class SparsifySection(TrainingSection):
    """The parent with its smallest weights set to zero, trained to match it."""

    sparsity: Share
    """Share of the weights in the layers' matrices to set to zero."""
    temperature: Annotated[float, Field(gt=0)] = 2.0
    """Temperature that softens the parent's probabilities, which are learned."""


class ExportSection(Section):
    """The ONNX graph, and how closely it must match torch."""

    tolerance: Annotated[float, Field(gt=0)] = 1e-4
    """Largest difference of a logit between the graph and torch."""


class QuantizeSection(Section):
    """A smaller number format for the parent's weights, embeddings included.

    The most sensitive operators keep the parent's format: half of all, then half as many and so on
    down to none, while accuracy is shown to drop by at most `max_accuracy_drop`.
    """

    scheme: Scheme = "int8-dynamic"
    """The number format."""
    max_accuracy_drop: Share
    """Largest drop of accuracy, as a fraction: the upper 95 % bound, from the validation split.

    To show a drop of at most 0.01 takes 299 texts without a loss, 0.005 takes 598.
    """


class EvaluateSection(Section):
    """When a variant is published."""

    min_accuracy: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Lowest accuracy on the test split, as a fraction."""
    allow_below_baseline: bool = False
    """Whether to publish one that beats neither the most frequent label nor a bag of words."""


class GatesSection(Section):
    """What a variant must be shown to keep, or it is not published."""

    max_group_gap: Share | None = None
    """Largest gap between groups of `group_report`, as a fraction: the upper 95 % bound of each."""
    max_stress_drop: Share | None = None
    """Largest drop of accuracy on altered texts that mean the same: likewise the bound of each."""
