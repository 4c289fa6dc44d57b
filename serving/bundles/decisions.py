"""A family's decisions.json: from which score on a text is flagged, and what that guarantees."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from serving.bundles.bundle import VERSION_HEX_DIGITS, Manifest
from serving.bundles.cascade import Cascade, Share
from serving.bundles.evaluation import Estimate
from serving.bundles.files import MOST, Frozen, Name, Sha256
from serving.bundles.windows import Windows
from serving.errors import BundleError

DECISIONS_NAME = "decisions.json"
CASCADE = "cascade"
"""Names a family's cascade beside its variants."""
MOST_POINTS = 50
ENDED_WITH, ENDED_WITHOUT = 2.0, -1.0
"""Scores of the labels that a text has, and has not, where a one-sided stage has ended it.

They are above and below every threshold: such a stage decides by ending the text, so it is flagged
for the labels that apply, and for no other.
"""
_MOST_LABELS = 1000
Thresholds = Mapping[tuple[str, str] | None, Mapping[str, float]]
"""The threshold of each decided label, by the variant and version that answer; None: a cascade."""
_Fraction = Annotated[float, Field(gt=0, lt=1)]
_Limit = Annotated[float, Field(ge=1e-6, le=1 - 1e-6)]
_LabelName = Annotated[str, Field(min_length=1)]


class LabelTarget(Frozen):
    """What is guaranteed of one label: exactly one of the two limits."""

    label: _LabelName
    """The label."""
    max_false_positive_rate: _Limit | None = None
    """The largest share of the texts without the label that may be flagged."""
    min_recall: _Limit | None = None
    """The smallest share of the texts with the label that must be flagged."""

    @model_validator(mode="after")
    def _one(self) -> "LabelTarget":
        if (self.max_false_positive_rate is None) == (self.min_recall is None):
            raise ValueError("give either max_false_positive_rate or min_recall")
        return self

    @property
    def max_error(self) -> float:
        """The largest share of wrong decisions among the texts that the target is about."""
        if self.max_false_positive_rate is not None:
            return self.max_false_positive_rate
        assert self.min_recall is not None
        return 1 - self.min_recall

    @property
    def words(self) -> str:
        """The target in words."""
        if self.min_recall is not None:
            return f"{self.label}: recall at least {self.min_recall:.2%}"
        return f"{self.label}: false-positive rate at most {self.max_false_positive_rate:.2%}"


class Point(Frozen):
    """What one threshold does on the texts that judge."""

    threshold: Share
    """A text is flagged from this score on."""
    false_positive_rate: Estimate
    """Share of the texts without the label that are flagged."""
    recall: Estimate
    """Share of the texts with the label that are flagged."""


class Decided(Point):
    """A label's threshold, and what it does."""

    label: _LabelName
    """The label."""
    n: Annotated[int, Field(gt=0, le=MOST)]
    """Texts that chose the threshold: those without the label, or with it for a recall."""
    risk: _Fraction
    """Probability that the target is missed, over the draw of those texts."""
    flagged: Estimate
    """Share of all texts that chose it that are flagged."""
    curve: Annotated[list[Point], Field(max_length=MOST_POINTS)] = Field(default=[])
    """What other thresholds do, ascending."""


class Decider(Frozen):
    """A variant or the cascade, with the thresholds of its scores."""

    variant: Name | None
    """The variant's name; null for the cascade."""
    versions: Annotated[dict[Name, str], Field(min_length=1)]
    """The version of each variant that takes part."""
    cascade_hash: str | None = None
    """For the cascade, the hash of its cascade.json."""
    windows_hash: str | None = None
    """If long texts were read in windows, the hash of what decides its scores in windows.json."""
    engines: dict[str, str] = Field(default={})
    """What ran each variant: the engine, and the number format in which it computes."""
    flagged: Estimate
    """Share of the texts that chose the thresholds that are flagged for any label."""
    labels: Annotated[list[Decided], Field(min_length=1, max_length=_MOST_LABELS)]
    """Its decided labels, in the order of the targets."""

    @model_validator(mode="after")
    def _whole(self) -> "Decider":
        if (self.variant is None) == (self.cascade_hash is None):
            raise ValueError("give either variant or cascade_hash")
        if self.variant and list(self.versions) != [self.variant]:
            raise ValueError(f"versions has to be the version of {self.variant}")
        return self

    @property
    def name(self) -> str:
        """The variant's name, or `cascade`."""
        return self.variant or CASCADE

    @property
    def fingerprint(self) -> str:
        """A hash of the content, the same on all servers."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:VERSION_HEX_DIGITS]

    @property
    def key(self) -> tuple[str, str] | None:
        """What its answers are found by (see Thresholds)."""
        return (self.variant, self.versions[self.variant]) if self.variant else None

    def fits(
        self, manifests: Mapping[str, Manifest], cascade: Cascade | None, windows: Windows
    ) -> bool:
        """Return whether exactly what it was made for is served: versions, cascade and windows."""
        versions = {name: manifest.version for name, manifest in manifests.items()}
        its_hash = cascade.fingerprint if cascade and self.cascade_hash else None
        if not self.versions.items() <= versions.items() or its_hash != self.cascade_hash:
            return False
        return self.windows_hash is None or self.windows_hash == windows.fingerprint(
            manifests[each] for each in self.versions
        )


class Decisions(Frozen):
    """When a text is flagged for a label, and how surely which limit is kept."""

    format_version: Literal[1] = 1
    """Version of this format."""
    family: Name
    """The family's name."""
    targets: Annotated[list[LabelTarget], Field(min_length=1, max_length=_MOST_LABELS)]
    """What is guaranteed, for each variant by itself."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    """Probability that all of a variant's targets are met, over the draw of the texts."""
    long: Literal["truncate", "windows"] = "truncate"
    """How texts beyond the model's length were read. One that is read otherwise is not decided."""
    batch_texts: Annotated[int, Field(ge=1, le=MOST)]
    """Texts in a batch when the scores were computed."""
    chosen_sha256: Sha256
    """Hash of the texts that chose the thresholds."""
    judged_sha256: Sha256
    """Hash of the texts that judged them."""
    deciders: Annotated[list[Decider], Field(min_length=1)]
    """The variants, and the cascade if there is one."""

    @model_validator(mode="after")
    def _consistent(self) -> "Decisions":
        labels = [target.label for target in self.targets]
        if len(set(labels)) < len(labels):
            raise ValueError("a label has two targets")
        if len({each.variant for each in self.deciders}) < len(self.deciders):
            raise ValueError("a variant appears twice")
        for each in self.deciders:
            if [decided.label for decided in each.labels] != labels:
                raise ValueError(f"{each.name} decides other labels than the targets name")
            if (each.windows_hash is None) != (self.long == "truncate"):
                raise ValueError(f"{each.name} has to have a windows_hash exactly with windows")
        return self


class Applied(NamedTuple):
    """A family's decisions.json, and its `deciders` that apply to what is served.

    `thresholds` are theirs, None if the family has no decisions.json. `undecided` are the variants,
    and `cascade`, whose answers come without decisions.
    """

    decisions: Decisions | None
    deciders: list[Decider]
    undecided: list[str]
    thresholds: Thresholds | None


def applied(
    decisions: Decisions | None,
    manifests: Sequence[Manifest],
    cascade: Cascade | None,
    windows: Windows,
    *,
    refused: bool = False,
) -> Applied:
    """Apply the thresholds that were made for exactly what is served; others are stale.

    Of a family whose file is `refused`, with none before it to go on with, nothing is decided.
    """
    if decisions is None and not refused:
        return Applied(None, [], [], None)
    served = {manifest.variant: manifest for manifest in manifests}
    deciders = decisions.deciders if decisions else []
    fitting = [each for each in deciders if each.fits(served, cascade, windows)]
    decided = {each.variant for each in fitting}
    undecided = [variant for variant in served if variant not in decided]
    return Applied(
        decisions,
        fitting,
        undecided + ([CASCADE] if cascade and None not in decided else []),
        {each.key: {its.label: its.threshold for its in each.labels} for each in fitting},
    )


def unproven_in(
    cascade: Cascade | None,
    its: Applied | None,
    runs_as: Mapping[str, str],
    manifests: Iterable[Manifest],
    windows: Windows,
) -> list[str]:
    """Name the variants that do not run as they did when what they take part in was shown."""
    served = {manifest.variant: manifest for manifest in manifests}
    names = set(cascade.unproven(runs_as, served, windows) if cascade else [])
    for each in its.deciders if its else []:
        names |= {v for v, engine in each.engines.items() if runs_as.get(v, engine) != engine}
    return sorted(names)


def check_decisions(decisions: Decisions, family: str, manifests: Mapping[str, Manifest]) -> None:
    """Raise BundleError if the decisions are another family's, or of labels that it lacks."""
    if decisions.family != family:
        raise BundleError(f"{DECISIONS_NAME} was made for {decisions.family}, not for {family}")
    for each in decisions.deciders:
        for variant, version in each.versions.items():
            served = manifests.get(variant)
            if served is None or served.version != version:
                continue
            for decided in each.labels:
                if decided.label not in served.labels:
                    raise BundleError(
                        f"{DECISIONS_NAME}: {variant} has no label {decided.label!r}: choose from "
                        f"{', '.join(served.labels)}"
                    )
