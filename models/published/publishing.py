"""Finds bundles of a registry, and publishes what was found out about them."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from models.reports.model_card import FINE_TUNED_ELSEWHERE, card
from serving.bundles.bundle import (
    CARD_NAME,
    MANIFEST_NAME,
    Bundle,
    read_bundle,
    verify,
    write_manifest,
)
from serving.bundles.files import within
from serving.bundles.graph_files import weights_files
from serving.bundles.ranking import best
from serving.bundles.registry import intact, publish, read_registry
from serving.bundles.signatures import is_signed
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
    measured = _measured_of(made, registry / made.manifest.family / made.manifest.variant)
    return publish_measured(made, measured, registry) if measured else publish(source, registry)


def publish_as(
    source: Path, registry: Path, family: str = "", variant: str = "", beside: str = ""
) -> Bundle:
    """Publish a bundle, if wanted under other names; `beside` is that of serving's publish.

    The version is that of before, since names decide no answer. What commands have measured of the
    one that is there stays if it has that version; a lost signature is printed. Raises BundleError,
    also where something else than a bundle is in the place.
    """
    bundle = read_bundle(source)
    own = {"family": bundle.manifest.family, "variant": bundle.manifest.variant}
    names = {"family": family or own["family"], "variant": variant or own["variant"]}
    target = registry / names["family"] / (names["variant"] + beside)
    with failures(BundleError, f"{target} stays as it was"):
        _check_place(source, target, registry)
        verify(bundle)
        weights_files(bundle)
        signed = is_signed(target)
        changes = _measured_of(bundle, target) | (names if names != own else {})
        if changes:
            return publish_measured(bundle, changes, registry, beside=beside)
        published = publish(source, registry, beside)
    _tell_lost(published, print, signed=signed)
    return published


def _check_place(source: Path, target: Path, registry: Path) -> None:
    within(target.parent, registry)
    if target.exists() and not (target / MANIFEST_NAME).is_file():
        raise BundleError(f"{target} is no bundle: move it away, or choose another name with --as")
    if target.resolve() in source.resolve().parents:
        raise BundleError(f"{source} lies in {target}: choose another name with --as")


def _measured_of(made: Bundle, target: Path) -> dict[str, object]:
    """What commands have measured of the bundle that is there, if it answers as `made`."""
    there = intact(target)
    if not there or there.manifest.version != made.manifest.version:
        return {}
    found = {
        name: getattr(there.manifest, name) or getattr(made.manifest, name)
        for name in _MEASURED_BY_COMMANDS
    }
    return found if any(found.values()) else {}


def publish_measured(
    bundle: Bundle,
    changes: Mapping[str, object],
    registry: Path,
    tell: Callable[[str], None] = print,
    beside: str = "",
) -> Bundle:
    """Publish a bundle with other fields in its manifest, and the card that follows from them.

    The version is that of before, since what was measured decides no answer. `tell` hears if a
    signature is lost; `beside` is that of serving's publish. Raises BundleError if the bundle has
    no manifest of its own or the registry cannot be written.
    """
    if bundle.elsewhere:
        raise BundleError(
            f"{bundle.folder} is served as it is, so nothing can be noted in it: import it into a "
            "registry with `python -m models import` and measure it there"
        )
    fields = dict(bundle.manifest) | dict(changes)
    target = registry / str(fields["family"]) / f"{fields['variant']}{beside}"
    signed = is_signed(bundle.folder) or is_signed(target)
    with (
        failures(BundleError, f"{target} stays as it was, since it cannot be written"),
        tempfile.TemporaryDirectory() as scratch,
    ):
        staged = Path(scratch)
        for name in bundle.manifest.files:
            shutil.copyfile(bundle.path(name), staged / name)
        for computed in ("version", "bytes", "files"):
            del fields[computed]
        adopted = not bundle.manifest.recipe or _says_adopted(staged / CARD_NAME)
        (staged / CARD_NAME).unlink(missing_ok=True)
        manifest = write_manifest(staged, **fields)
        (staged / CARD_NAME).write_text(card(manifest, adopted=adopted), encoding="utf-8")
        # Again, because the card is one of the manifest's files.
        write_manifest(staged, **fields)
        published = publish(staged, registry, beside)
    _tell_lost(published, tell, signed=signed)
    return published


def _tell_lost(published: Bundle, tell: Callable[[str], None], *, signed: bool) -> None:
    if signed and not is_signed(published.folder):
        tell(f"{published.folder} has lost its signature: sign it with `python -m models sign`")


def _says_adopted(path: Path) -> bool:
    """Whether a card says so; the recipe of what was made from an adopted model does not."""
    if not path.exists():
        return False
    return FINE_TUNED_ELSEWHERE in path.read_text(encoding="utf-8", errors="replace")
