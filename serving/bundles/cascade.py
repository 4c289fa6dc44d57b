"""A family's cascade.json: its stages, and the confidence that makes an answer final."""

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
    """Confidence of the logits divided by `temperature` (Guo et al. 2017)."""

    kind: Literal["temperature"] = "temperature"
    temperature: Annotated[float, Field(gt=0)]


class Isotonic(Frozen):
    """Isotonic regression: from `confidences[i]` up, the share `right[i]` of answers is right."""

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

    Its answer is final if its calibrated confidence reaches `threshold`; that of the last stage
    always is. `reach` is the expected share of texts that get here, `accuracy` that of a cascade
    ending here, on the test split.
    """

    variant: Name
    version: str
    calibration: Annotated[Temperature | Isotonic, Field(discriminator="kind")] | None = None
    threshold: Share | None = None
    reach: Share
    accuracy: Estimate

    def sure(self, logits: Sequence[float], *, multi_label: bool) -> bool:
        """Whether the answer to one text is final."""
        if self.threshold is None:
            return True
        return confidence(logits, self.calibration, multi_label=multi_label) >= self.threshold


class Reference(Frozen):
    """The variant that the guarantee compares with."""

    variant: Name
    version: str


class Target(Frozen):
    """The guarantee: with probability `confidence` the expected loss is at most `max_loss`.

    For `agreement`, loss is the share of texts answered differently from the reference; for
    `accuracy`, the accuracy of the reference minus that of the cascade. With `each_label` the
    bound holds for the texts of each label: the true label, or for agreement the reference's.
    """

    loss: Literal["accuracy", "agreement"]
    each_label: bool = False
    max_loss: Annotated[float, Field(gt=0, lt=1)]
    confidence: Annotated[float, Field(gt=0.5, lt=1)]


class Expected(Frozen):
    """Cost and latency of the cascade and of the reference, on the calibrating machine.

    `cost_s` is in core seconds per text in full batches; quantiles are those of single texts.
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

    `loss` was observed on `n` texts; `bound` is its upper bound at the target's confidence. With
    `each_label` both are those of the worst label. `disagreement` with the reference and
    `escalation`, the share that the first stage passes on, come from the same texts, with 95 %
    intervals. `versus` compares with the reference on the test split. Texts ran in batches of
    `batch_texts`. The hashes identify the texts that ordered, tested and judged the candidates.
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
            raise ValueError("a variant appears twice")
        if self.bound > self.target.max_loss:
            raise ValueError("the bound exceeds the target: there is no guarantee")
        return self

    @property
    def allowed_disagreement(self) -> float:
        """The largest share of answers that may differ from the reference's under the guarantee.

        For accuracy, the upper end of the calibrated interval.
        """
        if self.target.loss == "agreement" and not self.target.each_label:
            return self.target.max_loss
        return self.disagreement.high

    @property
    def escalations(self) -> float:
        """Expected number of escalations per text."""
        return sum(stage.reach for stage in self.stages[1:])


def confidence(
    logits: Sequence[float],
    calibration: Temperature | Isotonic | None = None,
    *,
    multi_label: bool,
) -> float:
    """The confidence of one answer: its probability, or with `multi_label` its least sure label's.

    Without a calibration it is the model's own.
    """
    tempered = calibration.temperature if isinstance(calibration, Temperature) else 1.0
    scores = (sigmoid if multi_label else softmax)(logits, tempered)
    raw = min(max(each, 1 - each) for each in scores) if multi_label else max(scores)
    if isinstance(calibration, Isotonic):
        return calibration.right[max(0, bisect_right(calibration.confidences, raw) - 1)]
    return raw


def check_cascade(cascade: Cascade, manifests: Mapping[str, Manifest]) -> None:
    """Raise BundleError if a cascade is stale, that is, made for other versions.

    `manifests` are those of the served variants, by name.
    """
    for stage in cascade.stages:
        served = manifests.get(stage.variant)
        if served is None or (served.family, served.version) != (cascade.family, stage.version):
            there = f"{served.family} {served.version}" if served else "no such variant"
            raise BundleError(
                f"{CASCADE_NAME} is stale: it was made for {cascade.family}/{stage.variant} "
                f"{stage.version}, the registry has {there}: run `python -m models cascade` again"
            )
    kinds = {
        (tuple(manifests[stage.variant].labels), manifests[stage.variant].problem_type)
        for stage in cascade.stages
    }
    if len(kinds) > 1:
        raise BundleError(f"{CASCADE_NAME}: its variants have different labels")
