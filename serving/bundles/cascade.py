"""A family's cascade.json: its stages, and what makes an answer final."""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from serving.bundles.bundle import VERSION_HEX_DIGITS, Manifest
from serving.bundles.evaluation import Estimate, Paired
from serving.bundles.files import MOST, Count, Frozen, Name, Sha256, listed
from serving.bundles.probabilities import predicted_labels, sigmoid, softmax
from serving.bundles.windows import Windows
from serving.errors import BundleError

CASCADE_NAME = "cascade.json"
CONFIDENCE_BINS = 20
_ROUNDING = 1e-6
Share = Annotated[float, Field(ge=0, le=1)]


class Temperature(Frozen):
    """Confidence is that of logits divided by a temperature (Guo et al. 2017)."""

    kind: Literal["temperature"] = "temperature"
    """Which calibration this is."""
    temperature: Annotated[float, Field(gt=0)]
    """The divisor."""


class Isotonic(Frozen):
    """Isotonic regression: confidence is a step function of the raw confidence."""

    kind: Literal["isotonic"] = "isotonic"
    """Which calibration this is."""
    confidences: Annotated[list[Share], Field(min_length=1)]
    """Raw confidences at which the steps begin, ascending."""
    right: list[Share]
    """Share of right answers from each of them on, ascending."""

    @model_validator(mode="after")
    def _ordered(self) -> "Isotonic":
        ascending = all(sorted(each) == each for each in (self.confidences, self.right))
        if not ascending or len(self.confidences) != len(self.right):
            raise ValueError("confidences and right are as many, and ascending")
        return self


class Stage(Frozen):
    """One variant of a cascade."""

    variant: Name
    """The variant's name."""
    version: str
    """The version that was calibrated."""
    calibration: Annotated[Temperature | Isotonic, Field(discriminator="kind")] | None = None
    """How its confidence is computed; the last stage needs none."""
    threshold: Share | None = None
    """Its answer counts from this confidence on; the last stage's always does."""
    early_labels: list[str] | None = None
    """The only labels with which it ends a text, null for any; the empty list is for no label."""
    confidences: (
        Annotated[list[Share], Field(min_length=CONFIDENCE_BINS, max_length=CONFIDENCE_BINS)] | None
    ) = None
    """Of the calibration texts that reach it, the share in each twentieth of confidence, from 0."""
    reach: Share
    """Expected share of all texts that reach this stage."""
    accuracy: Estimate
    """Accuracy of the cascade if it ended here, on the test split."""

    @model_validator(mode="after")
    def _whole(self) -> "Stage":
        if self.confidences and abs(sum(self.confidences) - 1) > _ROUNDING:
            raise ValueError("confidences are shares of all texts, and add up to 1")
        return self

    def sure(self, logits: Sequence[float], labels: Sequence[str], *, multi_label: bool) -> bool:
        """Return whether the answer to one text is final; the logits are those of `labels`."""
        if self.threshold is None:
            return True
        if self.early_labels is not None:
            answer = predicted_labels(labels, logits, 0.0 if multi_label else None)
            if not set(answer).issubset(self.early_labels):
                return False
        return confidence(logits, self.calibration, multi_label=multi_label) >= self.threshold


class Reference(Frozen):
    """The variant that the cascade is compared with."""

    variant: Name
    """The variant's name."""
    version: str
    """Its version."""


class Target(Frozen):
    """What is guaranteed: with probability `confidence` the expected loss is at most `max_loss`."""

    loss: Literal["accuracy", "agreement"]
    """What is lost.

    `agreement`: the share of texts with another answer than the reference's. `accuracy`: the
    reference's accuracy minus the cascade's.
    """
    each_label: bool = False
    """Whether it holds for the texts of each label.

    That is the true label, or for `agreement` the reference's.
    """
    max_loss: Annotated[float, Field(gt=0, lt=1)]
    """The largest expected loss, as a fraction."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    """Probability that the guarantee holds, over the draw of the calibration texts."""


class Expected(Frozen):
    """Cost and latency of the cascade and of the reference alone, where it was calibrated."""

    cost_s: Annotated[float, Field(gt=0)]
    """Core seconds per text, in full batches."""
    p50_ms: Annotated[float, Field(gt=0)]
    """Median latency of a single text, in ms."""
    p99_ms: Annotated[float, Field(gt=0)]
    """99th percentile of it."""
    reference_cost_s: Annotated[float, Field(gt=0)]
    """The reference's core seconds per text."""
    reference_p50_ms: Annotated[float, Field(gt=0)]
    """The reference's median."""
    reference_p99_ms: Annotated[float, Field(gt=0)]
    """The reference's 99th percentile."""
    machine: str
    """The machine that was measured."""


class Cascade(Frozen):
    """Which variants answer in turn, how confident each must be, and what is guaranteed."""

    format_version: Literal[1] = 1
    """Version of this format."""
    family: Name
    """The family's name."""
    stages: Annotated[list[Stage], Field(min_length=2)]
    """The variants, in the order in which they answer."""
    reference: Reference
    """The variant that the loss is measured against."""
    target: Target
    """What is guaranteed."""
    loss: float
    """Loss on the calibration texts; with `each_label` the worst label's."""
    bound: float
    """Upper bound of the expected loss, at the target's confidence."""
    n: Annotated[int, Field(gt=0, le=MOST)]
    """Calibration texts that the bound is from."""
    unlabelled: Count | None = None
    """Calibration texts without a label, with `each_label` in a multi-label family.

    If there are none, nothing is shown for such texts.
    """
    disagreement: Estimate
    """Share of the calibration texts with another answer than the reference's."""
    escalation: Estimate
    """Share of the calibration texts that the first stage escalates."""
    versus: Paired | None = None
    """The cascade against the reference, on the test split."""
    expected: Expected
    """What it costs."""
    long: Literal["truncate", "windows"] = "truncate"
    """How texts beyond a model's length were read. For others nothing is shown."""
    windows_hash: str | None = None
    """If that is `windows`, the hash of what decides the stages' scores in windows.json."""
    batch_texts: Annotated[int, Field(ge=1, le=MOST)]
    """Texts in a batch when the variants were measured."""
    ordered_sha256: Sha256
    """Hash of the texts that put the candidates in order."""
    tested_sha256: Sha256
    """Hash of the calibration texts, which tested them."""
    judged_sha256: Sha256 | None = None
    """Hash of the texts that judged the chosen one."""
    self_disagreement: Estimate | None = None
    """Share of the calibration texts that the reference answers otherwise in a batch than alone."""
    engines: dict[str, str] = Field(default={})
    """What ran each variant: the engine, and the number format in which it computes.

    The guarantee was shown for these; with others it is not shown.
    """

    @model_validator(mode="after")
    def _consistent(self) -> "Cascade":
        *earlier, last = self.stages
        if last.threshold is not None or any(stage.threshold is None for stage in earlier):
            raise ValueError("every stage but the last has a threshold")
        if any(stage.calibration is None for stage in earlier):
            raise ValueError("every stage but the last has a calibration")
        if last.early_labels is not None:
            raise ValueError("the last stage ends every text: it has no early_labels")
        if len({stage.variant for stage in self.stages}) < len(self.stages):
            raise ValueError("a variant appears twice")
        if (self.windows_hash is None) != (self.long == "truncate"):
            raise ValueError("it has a windows_hash exactly if long is windows")
        if self.bound > self.target.max_loss:
            raise ValueError("the bound exceeds the target: there is no guarantee")
        return self

    @property
    def fingerprint(self) -> str:
        """A hash of the content, the same on all servers."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:VERSION_HEX_DIGITS]

    @property
    def allowed_disagreement(self) -> float:
        """The largest share of answers that may differ from the reference's under the guarantee.

        For accuracy, the upper end of the calibrated interval.
        """
        if self.target.loss == "agreement" and not self.target.each_label:
            return self.target.max_loss
        return self.disagreement.high

    def unproven(
        self, runs_as: Mapping[str, str], manifests: Mapping[str, Manifest], windows: Windows
    ) -> list[str]:
        """Name the variants that do not run as they did when the guarantee was shown.

        Those are all its stages if what decides their scores in windows has changed since.
        """
        stages = [stage.variant for stage in self.stages]
        if self.long == "windows":
            now = windows.fingerprint(manifests[variant] for variant in stages)
            if now != self.windows_hash:
                return stages
        shown = self.engines.items()
        return sorted(name for name, engine in shown if runs_as.get(name, engine) != engine)

    @property
    def one_sided(self) -> frozenset[str]:
        """The variants that end a text with some labels only."""
        return frozenset(each.variant for each in self.stages if each.early_labels is not None)

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
    """Return an answer's confidence: its probability, or with `multi_label` its least sure label's.

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
    if any(kind == "regression" for _, kind in kinds):
        raise BundleError(f"{CASCADE_NAME}: a regression has no confidence: remove the file")
    for stage in cascade.stages:
        if stage.early_labels is not None:
            reason = unfit_early_labels(stage.early_labels, manifests[stage.variant])
            if reason:
                raise BundleError(f"{CASCADE_NAME}: early_labels of {stage.variant}: {reason}")


def unfit_early_labels(labels: Sequence[str], manifest: Manifest) -> str | None:
    """Return why a stage cannot end texts with these labels only; None if it can."""
    for label in labels:
        if label not in manifest.labels:
            return f"no label {label!r}: choose from {listed(manifest.labels)}"
    if not labels and not manifest.multi_label:
        return "without any, no text could end early: every text has a label"
    return None
