"""Which versions of a family's variants are live, as a server of the registry sees it."""

from pathlib import Path

from serving.bundles.bundle import Bundle, verify
from serving.bundles.files import parse
from serving.bundles.registry import TRAFFIC_NAME, Found, scan
from serving.bundles.traffic import Traffic, deployments_of
from serving.errors import BundleError


def live_bundles(registry: Path, family: str) -> list[Bundle]:
    """Return the verified bundle that answers for each variant. Raises BundleError."""
    found = family_in(registry, family)
    deployed = deployments_of(found.bundles[family], traffic_of(found, family))
    live = [each.live for each in deployed.values()]
    for bundle in live:
        verify(bundle)
    return live


def family_in(registry: Path, family: str) -> Found:
    """Return what the registry has. Raises BundleError unless the family can be published to."""
    found = scan([registry])
    bundles = found.bundles.get(family)
    if not bundles:
        raise BundleError(f"{registry} has no family {family!r}")
    if bundles[0].elsewhere:
        raise BundleError(
            f"{registry} is served as it is, so nothing can be published beside it: import it into "
            "a registry with `python -m models import`"
        )
    return found


def traffic_of(found: Found, family: str) -> Traffic:
    """Return what the family's traffic.json says, if there is one. Raises BundleError."""
    path = found.folders[family] / TRAFFIC_NAME
    if str(path) in found.refused:
        raise BundleError(f"{path}: {found.refused[str(path)]}")
    text = found.texts[family].get(TRAFFIC_NAME)
    return Traffic({}) if text is None else parse(Traffic, text, path)
