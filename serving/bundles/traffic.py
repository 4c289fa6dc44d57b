"""Which version of each variant answers, which is a canary, and which a shadow. Pure."""

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
    """One variant: the live version (that of `<variant>/` by default), a canary and a shadow."""

    version: _Version | None = None
    canary: Canary | None = None
    shadow: Shadow | None = None


class Traffic(RootModel[dict[Name, VariantTraffic]]):
    """A family's traffic.json, by variant; other variants serve the version in `<variant>/`."""


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
        """The entry of traffic.json that describes this deployment."""
        canary, shadow = self.canary, self.shadow
        return VariantTraffic(
            version=self.live.manifest.version,
            canary=Canary(version=canary.manifest.version, weight=self.weight) if canary else None,
            shadow=Shadow(version=shadow.manifest.version, share=self.share) if shadow else None,
        )

    def bundles(self) -> Iterator[Bundle]:
        """Every bundle of the deployment, `live` first."""
        yield from (each for each in (self.live, self.canary, self.shadow) if each)


@dataclass(frozen=True, slots=True)
class Deployments:
    """Everything that is served (family -> variant -> deployment), and what was refused and why.

    A `resting` family is loaded on demand; an `unloaded` one on an operator's request.
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
    """The deployments of one family by variant, from its bundles and its traffic.json.

    An inactive version is served only if `traffic` names it.
    Raises BundleError if `traffic` names a missing variant or version.
    """
    by_version = {(b.manifest.variant, b.manifest.version): b for b in found}
    active = {b.manifest.variant: b for b in found if b.folder.name == b.manifest.variant}

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
