"""A family's cascade.json: which variants are asked in turn, and when an answer is sure enough.

It does not know how its thresholds were found (models/cascade.py), nor how a variant is asked.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from serving.bundles.bundle import Manifest
from serving.bundles.evaluation import Estimate, Paired
from serving.bundles.files import Frozen, Name, Sha256
from serving.bundles.probabilities import sigmoid, softmax
from serving.errors import BundleError

CASCADE_NAME = "cascade.json"
Share = Annotated[float, Field(ge=0, le=1)]


class Temperature(Frozen):
    """Confidence is that of logits divided by `temperature` (Guo et al. 2017)."""

    kind: Literal["temperature"] = "temperature"
    temperature: Annotated[float, Field(gt=0)]


class Isotonic(Frozen):
    """From each raw confidence of `confidences`, ascending, on, the share of `right` answers."""

    kind: Literal["isotonic"] = "isotonic"
    confidences: Annotated[list[Share], Field(min_length=1)]
    right: list[Share]

    @model_validator(mode="after")
    def _ordered(self) -> "Isotonic":
        ascending = all(sorted(each) == each for each in (self.confidences, self.right))
        if not ascending or len(self.confidences) != len(self.right):
            raise ValueError("confidences and right are as many, and ascending")
        return self


class Stage(Frozen):
    """One variant of a cascade.

    Its answer counts where its calibrated confidence is at least `threshold`; the last stage's
    always does. `reach` is the expected share of all texts that it is asked, `accuracy` that of the
    cascade if it ended here, on the texts that the cascade was judged by.
    """

    variant: Name
    version: str
    calibration: Annotated[Temperature | Isotonic, Field(discriminator="kind")] | None = None
    threshold: Share | None = None
    reach: Share
    accuracy: Estimate

    def sure(self, logits: Sequence[float], *, multi_label: bool) -> bool:
        """Whether one text's answer counts."""
        if self.threshold is None:
            return True
        return confidence(logits, self.calibration, multi_label=multi_label) >= self.threshold


class Reference(Frozen):
    """The variant that the cascade must not lose against."""

    variant: Name
    version: str


class Target(Frozen):
    """What is guaranteed: with probability `confidence` the expected loss is at most `max_loss`.

    The loss of `agreement` is the share of texts that are answered otherwise than by the reference;
    that of `accuracy` is the reference's accuracy less the cascade's. With `each_label` it holds
    for the texts of each label: the true one, or for agreement the reference's.
    """

    loss: Literal["accuracy", "agreement"]
    each_label: bool = False
    max_loss: Annotated[float, Field(gt=0, lt=1)]
    confidence: Annotated[float, Field(gt=0.5, lt=1)]


class Expected(Frozen):
    """Of the cascade and of the reference alone, on the machine that calibrated.

    `cost_s` is core seconds a text in full batches; the quantiles are of a text that comes alone.
    """

    cost_s: Annotated[float, Field(gt=0)]
    p50_ms: Annotated[float, Field(gt=0)]
    p99_ms: Annotated[float, Field(gt=0)]
    reference_cost_s: Annotated[float, Field(gt=0)]
    reference_p50_ms: Annotated[float, Field(gt=0)]
    reference_p99_ms: Annotated[float, Field(gt=0)]
    machine: str


class Cascade(Frozen):
    """cascade.json.

    `bound` is the upper bound of the loss at the target's confidence from `n` texts, of which
    `loss` is what was seen; with `each_label` both are the worst label's. `disagreement` is with
    the reference, and `escalation` the share that the first stage does not answer, on the same
    texts, with 95 % intervals. `versus` compares with the reference on the texts that it was judged
    by. Texts were run `batch_texts` a batch. The hashes are of the texts by which candidates were
    ordered, tested and judged.
    """

    format_version: Literal[1] = 1
    family: Name
    stages: Annotated[list[Stage], Field(min_length=2)]
    reference: Reference
    target: Target
    loss: float
    bound: float
    n: Annotated[int, Field(gt=0)]
    disagreement: Estimate
    escalation: Estimate
    versus: Paired | None = None
    expected: Expected
    batch_texts: Annotated[int, Field(ge=1)]
    ordered_sha256: Sha256
    tested_sha256: Sha256
    judged_sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Cascade":
        *earlier, last = self.stages
        if last.threshold is not None or any(stage.threshold is None for stage in earlier):
            raise ValueError("every stage but the last has a threshold")
        if any(stage.calibration is None for stage in earlier):
            raise ValueError("every stage but the last has a calibration")
        if len({stage.variant for stage in self.stages}) < len(self.stages):
            raise ValueError("a variant is asked twice")
        if self.bound > self.target.max_loss:
            raise ValueError("the bound exceeds the target: there is no guarantee")
        return self

    @property
    def allowed_disagreement(self) -> float:
        """More than this share of answers that differ from the reference's breaks the guarantee.

        For accuracy, more than calibration leaves possible.
        """
        if self.target.loss == "agreement" and not self.target.each_label:
            return self.target.max_loss
        return self.disagreement.high

    @property
    def escalations(self) -> float:
        """Expected times that a text is handed on."""
        return sum(stage.reach for stage in self.stages[1:])


def confidence(
    logits: Sequence[float],
    calibration: Temperature | Isotonic | None = None,
    *,
    multi_label: bool,
) -> float:
    """How sure one text's answer is: its probability, or with `multi_label` the least sure label's.

    Without a calibration the model's own.
    """
    tempered = calibration.temperature if isinstance(calibration, Temperature) else 1.0
    scores = (sigmoid if multi_label else softmax)(logits, tempered)
    raw = min(max(each, 1 - each) for each in scores) if multi_label else max(scores)
    if isinstance(calibration, Isotonic):
        return calibration.right[max(0, bisect_right(calibration.confidences, raw) - 1)]
    return raw


def check_cascade(cascade: Cascade, manifests: Mapping[str, Manifest]) -> None:
    """Raises BundleError when a cascade is stale: made for other versions than these, by variant.

    `manifests` are of the variants that are served.
    """
    for stage in cascade.stages:
        served = manifests.get(stage.variant)
        if served is None or (served.family, served.version) != (cascade.family, stage.version):
            there = f"version {served.version} of {served.family}" if served else "no such variant"
            raise BundleError(
                f"{CASCADE_NAME} is stale: it is for {cascade.family}/{stage.variant} "
                f"{stage.version} and there is {there}: run `python -m models cascade` again"
            )
    kinds = {
        (tuple(manifests[stage.variant].labels), manifests[stage.variant].problem_type)
        for stage in cascade.stages
    }
    if len(kinds) > 1:
        raise BundleError(f"{CASCADE_NAME}: its variants have different labels")
