"""What gauges say of the deployments. Pure."""

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from serving.bundles.bundle import VariantKey, key
from serving.bundles.decisions import Applied, applied, unproven_in
from serving.bundles.traffic import Deployments
from serving.bundles.windows import Windows
from serving.runtime.interface import Running


def refused_by_model(
    deployments: Deployments, harmless: Collection[str], registries: Collection[Path]
) -> Mapping[str, int]:
    """Count what is refused of each model, without what is `harmless`.

    Strangers are, and cascades that are left out on purpose. A folder of a version that is
    served may have been emptied: that it holds no bundle any more makes it no stranger.
    """
    counted: Counter[str] = Counter()
    for refused in deployments.refused:
        path = Path(refused)
        served = deployments.families.get(path.parent.name, {})
        if refused not in harmless or path.name in served:
            counted[_model_of(path, registries)] += 1
    return counted


def _model_of(path: Path, registries: Collection[Path]) -> str:
    """Name the family that a path belongs to; a registry may be the folder of one model."""
    for registry in registries:
        if path.is_relative_to(registry):
            return (*path.relative_to(registry).parts, registry.name)[0]
    return path.parent.name


def applied_by_model(deployments: Deployments) -> dict[str, Applied]:
    """Return what applies of each family's decisions.json."""
    found = {}
    for family, decisions in deployments.decisions.items():
        if variants := deployments.families.get(family):
            manifests = [each.live.manifest for each in variants.values()]
            cascade = deployments.cascades.get(family)
            windows = deployments.windows.get(family, Windows())
            found[family] = applied(
                decisions, manifests, cascade, windows, refused=decisions is None
            )
    return found


def unproven_by_model(
    deployments: Deployments,
    decided: Mapping[str, Applied],
    running: Mapping[VariantKey, Running],
) -> dict[str, int]:
    """Count the variants that run otherwise than when cascade or decisions were shown."""
    found = {}
    for family, variants in deployments.families.items():
        cascade, its = deployments.cascades.get(family), decided.get(family)
        if cascade or its:
            runs_as = {
                variant: running[key(each.live)].runs_as
                for variant, each in variants.items()
                if key(each.live) in running
            }
            manifests = [each.live.manifest for each in variants.values()]
            windows = deployments.windows.get(family, Windows())
            found[family] = len(unproven_in(cascade, its, runs_as, manifests, windows))
    return found
