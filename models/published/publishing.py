"""Finds bundles of a registry, and publishes what was found out about them."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from models.reports.model_card import FINE_TUNED_ELSEWHERE, card
from serving.bundles.bundle import CARD_NAME, Bundle, read_bundle, verify, write_manifest
from serving.bundles.ranking import best
from serving.bundles.registry import intact, publish, read_registry
from serving.bundles.signatures import SIGNATURE_NAME
from serving.errors import BundleError, failures

_MEASURED_BY_COMMANDS = ("explanations", "robustness", "group_report", "counterfactuals")


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


def publish_made(source: Path, registry: Path) -> Bundle:
    """Publish what the pipeline made.

    What commands have measured of it stays if the version does, since it answers alike.
    """
    made = read_bundle(source)
    there = intact(registry / made.manifest.family / made.manifest.variant)
    if there and there.manifest.version == made.manifest.version:
        found = {
            name: getattr(there.manifest, name) or getattr(made.manifest, name)
            for name in _MEASURED_BY_COMMANDS
        }
        if any(found.values()):
            return publish_measured(made, found, registry)
    return publish(source, registry)


def publish_measured(
    bundle: Bundle,
    changes: Mapping[str, object],
    registry: Path,
    tell: Callable[[str], None] = print,
) -> Bundle:
    """Publish a bundle with other fields in its manifest, and the card that follows from them.

    The version is that of before, since what was measured decides no answer. `tell` hears if a
    signature is lost. Raises BundleError if the bundle has no manifest of its own or the registry
    cannot be written.
    """
    if bundle.elsewhere:
        raise BundleError(
            f"{bundle.folder} is served as it is, so nothing can be noted in it: import it into a "
            "registry with `python -m models import` and measure it there"
        )
    target = registry / bundle.manifest.family / bundle.manifest.variant
    signed = (bundle.folder / SIGNATURE_NAME).exists()
    with (
        failures(BundleError, f"{target} stays as it was, since it cannot be written"),
        tempfile.TemporaryDirectory() as scratch,
    ):
        staged = Path(scratch)
        for name in bundle.manifest.files:
            shutil.copyfile(bundle.path(name), staged / name)
        fields = dict(bundle.manifest) | dict(changes)
        for computed in ("version", "bytes", "files"):
            del fields[computed]
        adopted = not bundle.manifest.recipe or _says_adopted(staged / CARD_NAME)
        (staged / CARD_NAME).unlink(missing_ok=True)
        manifest = write_manifest(staged, **fields)
        (staged / CARD_NAME).write_text(card(manifest, adopted=adopted), encoding="utf-8")
        # Again, because the card is one of the manifest's files.
        write_manifest(staged, **fields)
        published = publish(staged, registry)
    if signed and not (published.folder / SIGNATURE_NAME).exists():
        tell(f"{published.folder} has lost its signature: sign it with `python -m models sign`")
    return published


def _says_adopted(path: Path) -> bool:
    """Whether a card says so; the recipe of what was made from an adopted model does not."""
    return path.exists() and FINE_TUNED_ELSEWHERE in path.read_text(encoding="utf-8")
