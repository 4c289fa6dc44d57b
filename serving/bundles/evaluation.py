"""What a manifest says was measured: accuracy, explanations and robustness, with intervals."""

from typing import Annotated

from pydantic import Field, model_validator

from serving.bundles.files import MOST, Count, Frozen, Name, Sha256


class Estimate(Frozen):
    """A measured figure with its 95 % interval."""

    value: float
    """The figure."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""

    @model_validator(mode="after")
    def _ordered(self) -> "Estimate":
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.value} lies outside its interval [{self.low}, {self.high}]")
        return self


class LabelScore(Frozen):
    """How well one label is found."""

    precision: float | None
    """Of the texts that were given this label, the share that have it; null if none was."""
    recall: float | None
    """Of the texts that have this label, the share that were given it; null if none has it."""
    f1: float | None
    """Harmonic mean of the two; null if no text has the label or was given it."""
    texts: Count
    """Texts that have this label."""


class Paired(Frozen):
    """This variant against another on the same texts: McNemar's exact test (1947)."""

    better: Count
    """Texts that only this variant gets right."""
    worse: Count
    """Texts that only the other gets right."""
    p_value: float
    """Probability of so large a difference if both were equally good."""
    difference: Estimate
    """This variant's accuracy minus the other's."""


class Band(Frozen):
    """The accuracy on texts of similar length."""

    shortest: Count
    """Shortest length, in tokens."""
    longest: Count
    """Longest length, in tokens."""
    n: int
    """Texts."""
    accuracy: Estimate
    """Share of these texts that are right."""


class Agreement(Frozen):
    """How often a bundle answers as another does, on texts whose labels need not be known."""

    family: Name
    """Family of the other bundle."""
    variant: Name
    """Variant of the other bundle."""
    version: str
    """Version of the other bundle."""
    texts_sha256: Sha256
    """Hash of the texts."""
    n: Annotated[int, Field(gt=0, le=MOST)]
    """Number of texts."""
    share: Estimate
    """Share of the texts with the same answer; with multi_label, with all the same labels."""


class CurvePoint(Frozen):
    """The mean score of a label once a share of each text's words is deleted or inserted."""

    words: Annotated[float, Field(ge=0, le=1)]
    """The share of the words."""
    deletion: Estimate
    """The score without them, deleted in the explanation's order."""
    random_deletion: Estimate
    """The score without them, deleted in random order."""
    insertion: Estimate
    """The score with no others, inserted in the explanation's order."""
    random_insertion: Estimate
    """The score with no others, inserted in random order."""


class Explanations(Frozen):
    """How faithful a variant's explanations are, and how near those of its family's best variant.

    Explained is the label that the reference predicts.
    """

    reference: Name
    """The family's variant that is compared with, which may be this one."""
    reference_version: str
    """Version of the reference."""
    method: Name
    """How the contributions of words are found."""
    budget: Annotated[int, Field(gt=0, le=MOST)]
    """Most texts evaluated for an explanation."""
    texts_sha256: Sha256
    """Hash of the texts."""
    n: Annotated[int, Field(gt=0, le=MOST)]
    """Number of texts."""
    random_orders: Annotated[int, Field(gt=0, le=MOST)]
    """Random orders of each text's words."""
    curves: list[CurvePoint]
    """The curves of deletion and insertion, by the share of the words."""
    deletion: Estimate
    """Area by which the curve of deletion lies below the random one."""
    insertion: Estimate
    """Area by which the curve of insertion lies above the random one."""
    rank_correlation: Estimate | None = None
    """Spearman's, of the words' contributions with the reference's; null if it is the reference."""
    top_overlap: Estimate | None = None
    """Share of the reference's three largest contributions among this variant's; null likewise."""


class Stressed(Frozen):
    """How a variant does on texts that were altered in one way, at one strength."""

    kind: Name
    """What was done to the texts."""
    strength: Annotated[float, Field(gt=0, le=MOST)]
    """A share of each text's words or gaps, or for emoji, appended and frames a number."""
    altered: Annotated[float, Field(ge=0, le=1)]
    """Share of the texts that could be altered."""
    accuracy: Estimate
    """Share of the texts that are right."""
    flips: Estimate
    """Share of the texts with another answer than the unaltered text's."""
    calibration_error: Estimate
    """Expected calibration error, after temperature scaling."""
    gap: Estimate | None = None
    """Accuracy lost beyond what the reference loses; null if it is the reference."""


class StressDrop(Frozen):
    """The accuracy that altering texts in one way, at one strength, costs."""

    kind: Name
    """What was done to the texts."""
    strength: Annotated[float, Field(gt=0, le=MOST)]
    """How much, as in `conditions`."""
    drop: Estimate
    """Accuracy on the unaltered texts minus that on the altered ones."""


class Negations(Frozen):
    """Pairs of sentences of which one negates the other, from templates: a list, not a sample."""

    pairs: Annotated[int, Field(gt=0, le=MOST)]
    """Number of pairs."""
    flipped: Annotated[float, Field(ge=0, le=1)]
    """Share of the pairs with two different answers."""
    right: Annotated[float, Field(ge=0, le=1)]
    """Share of the pairs with two right answers."""


class WorstCase(Frozen):
    """A search for alterations of single words that change the answer."""

    n: Annotated[int, Field(gt=0, le=MOST)]
    """Number of texts."""
    queries: Annotated[int, Field(gt=0, le=MOST)]
    """Most texts that were classified to flip one."""
    flipped: Estimate
    """Share of the texts for which an alteration was found."""


class Robustness(Frozen):
    """How a variant does on altered texts, and what it loses beyond its family's reference.

    The intervals of each of accuracy, flips, calibration error, gap and drop hold together with
    95 %, for all conditions and all variants that were measured at once.
    """

    reference: Name
    """The family's variant that is compared with, which may be this one."""
    reference_version: str
    """Version of the reference."""
    texts_sha256: Sha256
    """Hash of the texts."""
    n: Annotated[int, Field(gt=0, le=MOST)]
    """Number of texts."""
    seed: Count
    """Seed of what was altered."""
    variants: Annotated[int, Field(gt=0, le=MOST)]
    """Variants whose intervals hold together."""
    accuracy: Estimate
    """Share of the unaltered texts that are right."""
    calibration_error: Estimate
    """Expected calibration error on the unaltered texts."""
    conditions: list[Stressed]
    """The figures by kind and strength."""
    largest_drop: StressDrop | None = None
    """The drop of the highest upper end, of all kinds that keep a text's meaning.

    Null unless all of them were tried.
    """
    negations: Negations | None = None
    """Pairs that must flip; null for labels whose meaning is not known."""
    worst_case: WorstCase | None = None
    """The worst case; null if none was searched for."""


class Evaluation(Frozen):
    """What a bundle scored on one split.

    A text is right when its label is, or with multi_label when all its labels are.
    """

    split_sha256: Sha256
    """Hash of the split."""
    n: Annotated[int, Field(gt=0, le=MOST)]
    """Texts in the split."""
    accuracy: Estimate
    """Share of the texts that are right."""
    macro_f1: Estimate | None
    """Mean of F1 over the labels that some text has or was given; null if there is none."""
    expected_calibration_error: Estimate
    """Mean distance between confidence and accuracy, after temperature scaling."""
    calibrated_error: Estimate | None = None
    """What it would be by chance alone if confidence were accuracy: mean, and 95 % of the draws."""
    uncalibrated_error: float | None = None
    """The expected calibration error before temperature scaling."""
    brier: Estimate | None = None
    """Brier score (1950), after temperature scaling."""
    negative_log_likelihood: Estimate | None = None
    """Nats per text, after temperature scaling."""
    labels: dict[str, LabelScore] = Field(default={})
    """The scores by label."""
    confusion: list[list[Count]] | None = None
    """`confusion[i][j]` counts texts of label i that were given label j.

    single_label only, with up to 256 labels.
    """
    lengths: list[Band] = Field(default=[])
    """The accuracy by length."""
    agreement: Estimate | None = None
    """Share of the texts with the teacher's answer."""
    batch_flips: Estimate | None = None
    """Share of the texts whose answer changes with the rest of the batch."""
    versus: dict[str, Paired] = Field(default={})
    """Comparisons with the teacher and the parent, by their names."""
    baselines: dict[str, Estimate] = Field(default={})
    """The accuracy of what a model must beat: the most frequent answer, and a bag of words."""
    texts_per_second: float | None = None
    """Offline throughput, on all cores of the machine that evaluated."""
