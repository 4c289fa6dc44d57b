"""Finds bundles of a registry, and publishes what was found out about them."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from models.reports.model_card import card
from serving.bundles.bundle import CARD_NAME, Bundle, verify, write_manifest
from serving.bundles.ranking import best
from serving.bundles.registry import publish, read_registry
from serving.errors import BundleError


def bundles_of(target: str, registry: Path) -> list[Bundle]:
    """Return the bundles of FAMILY, or the one of FAMILY/VARIANT. Raises BundleError."""
    family, _, variant = target.partition("/")
    families = read_registry(registry)
    if family not in families:
        raise BundleError(
            f"{registry} has no family {family!r}: name one of {', '.join(sorted(families))}"
        )
    found = {each.manifest.variant: each for each in families[family]}
    if variant and variant not in found:
        raise BundleError(
            f"{family} has no variant {variant!r}: name one of {', '.join(sorted(found))}"
        )
    chosen = [found[variant]] if variant else list(found.values())
    for each in chosen:
        verify(each)
    return chosen


def named(target: str, registry: Path) -> Bundle:
    """Return the bundle of FAMILY/VARIANT. Raises BundleError."""
    if not target.partition("/")[2]:
        raise BundleError(f"{target!r} is no bundle: write FAMILY/VARIANT")
    return bundles_of(target, registry)[0]


def default_of(family: str, registry: Path) -> str:
    """Say which variant is the default, and whether all were measured alike."""
    manifests = [each.manifest for each in bundles_of(family, registry)]
    says = f"The default of {family} is {best(manifests)}."
    measured = {each.judged.split_sha256 if each.judged else None for each in manifests}
    if len(measured) > 1:
        says += (
            f" Its variants were measured on different texts, or some not at all: to compare them, "
            f"evaluate {family} on labelled texts."
        )
    return says


def publish_measured(bundle: Bundle, changes: Mapping[str, object], registry: Path) -> Bundle:
    """Publish a bundle with other fields in its manifest, and the card that follows from them.

    The version is that of before, since what was measured decides no answer.
    """
    with tempfile.TemporaryDirectory() as scratch:
        staged = Path(scratch)
        for name in bundle.manifest.files:
            shutil.copyfile(bundle.path(name), staged / name)
        fields = dict(bundle.manifest) | dict(changes)
        for computed in ("version", "bytes", "files"):
            del fields[computed]
        (staged / CARD_NAME).unlink(missing_ok=True)
        manifest = write_manifest(staged, **fields)
        adopted = not manifest.recipe
        (staged / CARD_NAME).write_text(card(manifest, adopted=adopted), encoding="utf-8")
        # Again, because the card is one of the manifest's files.
        write_manifest(staged, **fields)
        return publish(staged, registry)
