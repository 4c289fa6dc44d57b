"""Which version of each variant answers, which is a canary, and which a shadow. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, RootModel

from serving.bundles.bundle import Bundle, Manifest, VariantKey, key
from serving.bundles.cascade import Cascade
from serving.bundles.decisions import Decisions
from serving.bundles.evaluation import Estimate
from serving.bundles.files import Name, listed
from serving.bundles.risks import group_gap, stress_drop
from serving.bundles.windows import Windows
from serving.errors import BundleError

_Version = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
_Share = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class Canary(_Strict):
    """A version that answers a share of the requests."""

    version: _Version
    """The version, as in its manifest."""
    weight: _Share
    """Share of the requests that it answers."""


class Shadow(_Strict):
    """A version whose answers are compared and never returned."""

    version: _Version
    """The version, as in its manifest."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the requests that it answers too."""


class VariantTraffic(_Strict):
    """Which versions of one variant answer."""

    version: _Version | None = None
    """The version that answers, as in its manifest; without it the one in `<variant>/`."""
    canary: Canary | None = None
    """A version to try on a share of the requests."""
    shadow: Shadow | None = None
    """A version to compare."""


class Traffic(RootModel[dict[Name, VariantTraffic]]):
    """The traffic of a family's variants; one that is not named serves what is in `<variant>/`."""


class Floor(_Strict):
    """What a variant must be shown to keep, or it answers no request that does not name it.

    What its manifest has no figure of is not shown.
    """

    min_accuracy: _Share = 0.0
    """Lowest accuracy on the test split: the lower 95 % end, as of the other keys the upper."""
    max_stress_drop: _Share | None = None
    """Largest drop of accuracy on altered texts that mean the same."""
    max_group_gap: _Share | None = None
    """Largest gap between groups, in any figure by any column."""

    def allows(self, manifest: Manifest) -> bool:
        """Whether a variant is shown to keep all of it."""
        accuracy = manifest.judged.accuracy.low if manifest.judged else 0.0
        drop, gap = stress_drop(manifest), group_gap(manifest)
        return (
            accuracy >= self.min_accuracy
            and _within(self.max_stress_drop, drop.drop if drop else None)
            and _within(self.max_group_gap, gap.gap if gap else None)
        )


def allowed(manifests: Iterable[Manifest], floor: Floor | None) -> list[Manifest]:
    """Return the variants that may answer `auto`: all, if there is no floor."""
    return [each for each in manifests if floor is None or floor.allows(each)]


def _within(most: float | None, found: Estimate | None) -> bool:
    return most is None or (found is not None and found.high <= most)


class Policy(_Strict):
    """What overload may do to a family's answers, how its cascade is watched, what it flags."""

    floor: Floor | None = None
    """What no variant may fall below that answers `auto`, alone, in a cascade or as a stand-in."""
    min_accuracy: _Share = 0.0
    """Under overload, no variant stands in for `auto` whose accuracy's lower 95 % end is below."""
    sample_share: _Share = 0.0
    """Share of a cascade's texts that its reference answers too, to watch the guarantee."""
    harmless: list[str] | None = None
    """Labels that are nothing to flag, such as `safe`: no category of a moderation.

    Without it every label of a multi-label family is a category, and a family of which one label
    applies to each text cannot moderate, unless it has decisions.
    """


def check_policy(policy: Policy, manifests: Mapping[str, Manifest]) -> None:
    """Raise BundleError if a harmless label is none of any variant's, or none reaches the floor."""
    labels = {label for each in manifests.values() for label in each.labels}
    for label in policy.harmless or ():
        if label not in labels:
            raise BundleError(
                f"policy.json: no variant has the harmless label {label!r}: name some of "
                f"{listed(sorted(labels))}"
            )
    if policy.floor and not allowed(manifests.values(), policy.floor):
        raise BundleError(
            f"policy.json: no variant of {listed(sorted(manifests))} is shown to reach the "
            f"floor {policy.floor.model_dump_json(exclude_defaults=True)}: lower it, or measure "
            "them, for max_stress_drop by `python -m models stress` and for max_group_gap by "
            "`python -m models groups`"
        )


@dataclass(frozen=True, slots=True)
class Deployment:
    """The bundles of one variant that are served."""

    live: Bundle
    canary: Bundle | None = None
    weight: float = 0.0
    shadow: Bundle | None = None
    share: float = 0.0

    def traffic(self) -> VariantTraffic:
        """Return the entry of traffic.json that describes this deployment."""
        canary, shadow = self.canary, self.shadow
        return VariantTraffic(
            version=self.live.manifest.version,
            canary=Canary(version=canary.manifest.version, weight=self.weight) if canary else None,
            shadow=Shadow(version=shadow.manifest.version, share=self.share) if shadow else None,
        )

    def bundles(self) -> Iterator[Bundle]:
        """Yield every bundle of the deployment, `live` first."""
        yield from (each for each in (self.live, self.canary, self.shadow) if each)

    def without(self, broken: Collection[Bundle]) -> "Deployment | None":
        """Return the deployment without these bundles; None without its live version."""
        if self.live in broken:
            return None
        kept = self
        if self.canary in broken:
            kept = replace(kept, canary=None, weight=0.0)
        return replace(kept, shadow=None) if self.shadow in broken else kept


@dataclass(frozen=True, slots=True)
class Deployments:
    """Everything that is served (family -> variant -> deployment), and what was refused and why.

    A family whose decisions.json is refused, with none before it to go on with, has None. A
    `resting` family is loaded on demand; an `unloaded` one on an operator's request. The server is
    not ready while something is `missing` (see completeness.py).
    """

    families: Mapping[str, Mapping[str, Deployment]] = field(default_factory=dict)
    cascades: Mapping[str, Cascade] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    decisions: Mapping[str, Decisions | None] = field(default_factory=dict)
    windows: Mapping[str, Windows] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    resting: frozenset[str] = frozenset()
    unloaded: frozenset[str] = frozenset()
    missing: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0

    def bundles(self) -> dict[VariantKey, Bundle]:
        """Return every bundle that is served, by its key."""
        return {
            key(bundle): bundle
            for variants in self.families.values()
            for bundle in bundles_of(variants)
        }


def bundles_of(variants: Mapping[str, Deployment]) -> list[Bundle]:
    """Return every bundle of a family's deployments."""
    return [bundle for deployment in variants.values() for bundle in deployment.bundles()]


def without(deployments: Deployments, broken: Bundle) -> Deployments:
    """Return the deployments without a bundle, nor the variant of which it is the live version.

    Nor have they a family of which nothing is left that reaches its floor, or a cascade of which a
    stage is gone.
    """
    kept = {
        family: {name: left for name, each in variants.items() if (left := each.without([broken]))}
        for family, variants in deployments.families.items()
    }
    floors = {family: policy.floor for family, policy in deployments.policies.items()}
    families = {
        family: variants
        for family, variants in kept.items()
        if allowed((each.live.manifest for each in variants.values()), floors.get(family))
    }
    cascades = {
        family: cascade
        for family, cascade in deployments.cascades.items()
        if {stage.variant for stage in cascade.stages} <= families.get(family, {}).keys()
    }
    return replace(deployments, families=families, cascades=cascades)


def put_to_rest(deployments: Deployments, leaving: Collection[str]) -> Deployments:
    """Return the deployments without the families that are `leaving`, which rest."""
    return replace(
        deployments,
        families={n: each for n, each in deployments.families.items() if n not in leaving},
        cascades={n: each for n, each in deployments.cascades.items() if n not in leaving},
        policies={n: each for n, each in deployments.policies.items() if n not in leaving},
        windows={n: each for n, each in deployments.windows.items() if n not in leaving},
        decisions={n: each for n, each in deployments.decisions.items() if n not in leaving},
        resting=deployments.resting | set(leaving),
    )


def deployments_of(found: Sequence[Bundle], traffic: Traffic) -> dict[str, Deployment]:
    """Return the deployments of one family by variant, from its bundles and its traffic.json.

    An inactive version is served only if `traffic` names it.
    Raises BundleError if `traffic` names a missing variant or version.
    """
    by_version = {(b.manifest.variant, b.manifest.version): b for b in found}
    active = {b.manifest.variant: b for b in found if b.active}

    def version_of(variant: str, version: str) -> Bundle:
        if (variant, version) not in by_version:
            known = sorted(its for name, its in by_version if name == variant)
            raise BundleError(
                f"traffic.json: {variant} has no version {version} (available: "
                f"{', '.join(known) or 'none'}): publish it as {variant}@NAME"
            )
        return by_version[variant, version]

    deployments = {}
    for variant in sorted(active.keys() | traffic.root.keys()):
        wanted = traffic.root.get(variant, VariantTraffic())
        live = version_of(variant, wanted.version) if wanted.version else active.get(variant)
        if live is None:
            raise BundleError(f"traffic.json: there is no variant {variant}")
        deployments[variant] = Deployment(
            live,
            canary=version_of(variant, wanted.canary.version) if wanted.canary else None,
            weight=wanted.canary.weight if wanted.canary else 0.0,
            shadow=version_of(variant, wanted.shadow.version) if wanted.shadow else None,
            share=wanted.shadow.share if wanted.shadow else 0.0,
        )
    return deployments
