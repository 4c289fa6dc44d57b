"""The measured accuracy in a manifest: estimates with intervals."""

from typing import Annotated

from pydantic import Field, model_validator

from serving.bundles.files import Frozen, Sha256


class Estimate(Frozen):
    """A measured figure with its 95 % interval."""

    value: float
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> "Estimate":
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.value} lies outside its interval [{self.low}, {self.high}]")
        return self


class LabelScore(Frozen):
    """Precision, recall and F1 of one label; `texts` is how many texts have it."""

    precision: float
    recall: float
    f1: float
    texts: int


class Paired(Frozen):
    """This variant compared with another on the same texts: McNemar's exact test (1947).

    `better` counts texts that only this variant gets right, `worse` those that only the other
    does; `difference` is this variant's accuracy minus the other's.
    """

    better: int
    worse: int
    p_value: float
    difference: Estimate


class Band(Frozen):
    """The accuracy on texts of `shortest` to `longest` tokens."""

    shortest: int
    longest: int
    n: int
    accuracy: Estimate


class Evaluation(Frozen):
    """The scores of a bundle on one split of `n` texts.

    A text counts as right if its label is, or with multi_label if all its labels are; `accuracy`,
    `agreement` (with the teacher) and `batch_flips` (answers that change with the rest of the
    batch and its padding) are shares of texts. Calibration error, Brier score (1950) and negative
    log-likelihood (nats per text) are those of the tempered probabilities, `uncalibrated_error`
    that of the raw ones. `confusion[i][j]` counts texts of label i answered with j, for
    single_label only. `versus` compares with the teacher and the parent, by name.
    `texts_per_second` was measured offline, on all cores of the evaluating machine.
    """

    split_sha256: Sha256
    n: Annotated[int, Field(gt=0)]
    accuracy: Estimate
    macro_f1: Estimate
    expected_calibration_error: Estimate
    uncalibrated_error: float | None = None
    brier: Estimate | None = None
    negative_log_likelihood: Estimate | None = None
    labels: dict[str, LabelScore] = Field(default={})
    confusion: list[list[int]] | None = None
    lengths: list[Band] = Field(default=[])
    agreement: Estimate | None = None
    batch_flips: Estimate | None = None
    versus: dict[str, Paired] = Field(default={})
    texts_per_second: float | None = None
