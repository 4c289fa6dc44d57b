"""Which version of each variant answers, which gets a share to try, which answers unseen. Pure.

It does not know where bundles are kept, how they are loaded or who asks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, RootModel

from serving.bundles.bundle import Bundle, VariantKey, key
from serving.bundles.cascade import Cascade
from serving.bundles.files import Name
from serving.errors import BundleError

_Version = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", description="As in the manifest.")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Canary(_Strict):
    """A version that answers a share of the requests."""

    version: _Version
    weight: Annotated[float, Field(ge=0, le=1, description="Share of requests.")]


class Shadow(_Strict):
    """A version whose answers to a share of the requests are compared and never returned."""

    version: _Version
    share: Annotated[float, Field(gt=0, le=1, description="Share of requests.")] = 1.0


class VariantTraffic(_Strict):
    """Of one variant: the version that answers (that of `<variant>/` if none), and two to try."""

    version: _Version | None = None
    canary: Canary | None = None
    shadow: Shadow | None = None


class Traffic(RootModel[dict[Name, VariantTraffic]]):
    """A family's traffic.json, by variant; a variant that it does not name is served as it lies."""


class Policy(_Strict):
    """A family's policy.json."""

    min_accuracy: Annotated[
        float, Field(ge=0, le=1, description="No variant under it stands in under overload.")
    ] = 0.0
    sample_share: Annotated[
        float,
        Field(ge=0, le=1, description="Share of a cascade's texts that its reference answers too."),
    ] = 0.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """The bundles of one variant that are served."""

    live: Bundle
    canary: Bundle | None = None
    weight: float = 0.0
    shadow: Bundle | None = None
    share: float = 0.0

    def traffic(self) -> VariantTraffic:
        """What would tell to serve just this."""
        canary, shadow = self.canary, self.shadow
        return VariantTraffic(
            version=self.live.manifest.version,
            canary=Canary(version=canary.manifest.version, weight=self.weight) if canary else None,
            shadow=Shadow(version=shadow.manifest.version, share=self.share) if shadow else None,
        )

    def bundles(self) -> Iterator[Bundle]:
        """All of them, `live` first."""
        yield from (each for each in (self.live, self.canary, self.shadow) if each)


@dataclass(frozen=True, slots=True)
class Deployments:
    """All that is served: family -> variant -> deployment, and what was refused and why.

    A family that is `resting` is loaded when it is asked for; one that is `unloaded`, when told to.
    """

    families: Mapping[str, Mapping[str, Deployment]] = field(default_factory=dict)
    cascades: Mapping[str, Cascade] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    resting: frozenset[str] = frozenset()
    unloaded: frozenset[str] = frozenset()
    revision: int = 0

    def bundles(self) -> dict[VariantKey, Bundle]:
        """Every bundle that is served, by its key."""
        return {
            key(bundle): bundle
            for variants in self.families.values()
            for bundle in bundles_of(variants)
        }


def bundles_of(variants: Mapping[str, Deployment]) -> list[Bundle]:
    """Every bundle of a family's deployments."""
    return [bundle for deployment in variants.values() for bundle in deployment.bundles()]


def deployments_of(found: Sequence[Bundle], traffic: Traffic) -> dict[str, Deployment]:
    """One family's deployments by variant, from all of its bundles and its traffic.

    A bundle in a folder `<variant>@<anything>` is served only where `traffic` names its version.
    Raises BundleError when the traffic names a variant or a version that is not there.
    """
    by_version = {(b.manifest.variant, b.manifest.version): b for b in found}
    lying = {b.manifest.variant: b for b in found if b.folder.name == b.manifest.variant}

    def named(variant: str, version: str) -> Bundle:
        if (variant, version) not in by_version:
            known = sorted(its for name, its in by_version if name == variant)
            raise BundleError(
                f"traffic.json: {variant} has no version {version}; there is "
                f"{', '.join(known) or 'none'}: publish it beside as {variant}@NAME"
            )
        return by_version[variant, version]

    deployments = {}
    for variant in sorted(lying.keys() | traffic.root.keys()):
        told = traffic.root.get(variant, VariantTraffic())
        live = named(variant, told.version) if told.version else lying.get(variant)
        if live is None:
            raise BundleError(f"traffic.json: there is no variant {variant}")
        deployments[variant] = Deployment(
            live,
            canary=named(variant, told.canary.version) if told.canary else None,
            weight=told.canary.weight if told.canary else 0.0,
            shadow=named(variant, told.shadow.version) if told.shadow else None,
            share=told.shadow.share if told.shadow else 0.0,
        )
    return deployments
