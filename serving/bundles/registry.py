"""The registry: `<family>/<variant>/` folders of bundles, published atomically.

A folder `<variant>@NAME` is an inactive version: traffic.json can name it.
"""

import shutil
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from serving.bundles.broken import holds_a_bundle
from serving.bundles.bundle import MANIFEST_NAME, Bundle, read_bundle, verify
from serving.bundles.cascade import CASCADE_NAME
from serving.bundles.decisions import DECISIONS_NAME
from serving.bundles.exported import is_exported
from serving.bundles.files import (
    MOST_DESCRIPTION_BYTES,
    MOST_SETTINGS_BYTES,
    NAME,
    create_beside,
    exchange,
    open_file,
    read_file,
    read_text,
    remove,
    replace_file,
    subfolders,
    sync,
    within,
    write_new,
)
from serving.bundles.graph_files import weights_files
from serving.bundles.one_model import read_as_family
from serving.bundles.signatures import SIGNATURE_NAME, TrustedKeys, read_signature
from serving.bundles.windows import WINDOWS_NAME
from serving.errors import BundleError, failures, own_words, printable
from serving.shortage import is_shortage

TRAFFIC_NAME = "traffic.json"
POLICY_NAME = "policy.json"
FAMILY_NAMES = (TRAFFIC_NAME, POLICY_NAME, CASCADE_NAME, DECISIONS_NAME, WINDOWS_NAME)
BESIDE = "@"
PREVIOUS = f"{BESIDE}previous"
Lost = dict[tuple[str, str], str]
"""Broken bundles by family and variant, with the reasons."""


@dataclass(frozen=True, slots=True)
class Found:
    """The content of registries, by family: its folder, its bundles and the text of its own files.

    Those are FAMILY_NAMES, as far as they exist. `refused` maps each unreadable path to the
    reason, and `lost` those of them that are bundles, without the inactive versions. Families in
    `kept` are as they were found before: their registry is empty now; of those in `left_out` a
    variant is there that is not `chosen`. If none is chosen, all are.
    """

    folders: dict[str, Path] = field(default_factory=dict)
    bundles: dict[str, list[Bundle]] = field(default_factory=dict)
    texts: dict[str, dict[str, str]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    lost: Lost = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    left_out: set[str] = field(default_factory=set)
    chosen: Collection[str] = ()

    def leaves_out(self, variant: str) -> bool:
        """Return whether a variant is not among those that are chosen."""
        return bool(self.chosen) and variant not in self.chosen


def scan(
    registries: Iterable[Path], variants: Collection[str] = (), trusted: TrustedKeys | None = None
) -> Found:
    """Find all bundles of registries, or those of `variants`, inactive versions included.

    If two registries hold a family of the same name, the first one counts. A bundle that none of
    the `trusted` keys has signed is refused. Raises BundleError when a folder is missing or cannot
    be read, or the machine is short.
    """
    found = Found(chosen=variants)
    for folder in registries:
        with failures(BundleError, f"SIZEWISE_REGISTRY: {folder}"):
            wrong = not folder.exists() or (folder.is_file() and not is_exported(folder))
        if wrong:
            raise BundleError(
                f"SIZEWISE_REGISTRY: {folder} is not a folder: name one that holds "
                "<family>/<variant>/, or the folder of one model"
            )
        if is_exported(folder):
            _add(folder, found, partial(_scan_exported, folder, found, trusted))
            continue
        with failures(BundleError, str(folder)):
            families = list(subfolders(folder, found.refused))
        for family in families:
            if family.name in found.folders:
                found.refused[printable(str(family))] = _twice(found.folders[family.name])
            else:
                _add(family, found, partial(_scan_family, family, found, trusted))
    return found


def _add(folder: Path, found: Found, scan_it: Callable[[], None]) -> None:
    try:
        with failures(BundleError, str(folder)):
            scan_it()
    except BundleError as error:
        if is_shortage(error):
            raise
        found.refused[printable(str(folder))] = error.detail


def _twice(known: Path) -> str:
    return f"{known} is a family of the same name: rename one"


def _scan_exported(folder: Path, found: Found, trusted: TrustedKeys | None) -> None:
    """Add the folder of one model, or its graph, as a family of one variant."""
    try:
        bundle = read_as_family(folder, trusted)
    except BaseException as error:
        found.lost[printable(folder.name), printable(folder.name)] = own_words(error)
        raise
    family = bundle.manifest.family
    if family in found.folders:
        raise BundleError(_twice(found.folders[family]))
    found.folders[family] = folder
    found.texts[family] = {}
    found.bundles[family] = [bundle]


def _scan_family(family: Path, found: Found, trusted: TrustedKeys | None) -> None:
    registry = family.parent
    within(family, registry)
    found.folders[family.name] = family
    for path in list(subfolders(family, found.refused)):
        variant = path.name.partition(BESIDE)[0]
        if found.leaves_out(variant):
            found.left_out.add(family.name)
            continue
        try:
            with failures(BundleError, str(path)):
                bundle = _read_variant(within(path, registry), trusted)
        except BundleError as error:
            if is_shortage(error):
                raise
            found.refused[printable(str(path))] = error.detail
            if BESIDE not in path.name and holds_a_bundle(path):
                found.lost[family.name, path.name] = error.detail
        else:
            found.bundles.setdefault(family.name, []).append(bundle)
    _read_texts(family, found)


def _read_texts(family: Path, found: Found) -> None:
    texts = found.texts.setdefault(family.name, {})
    for name in FAMILY_NAMES:
        try:
            small = name in (TRAFFIC_NAME, POLICY_NAME)
            limit = MOST_SETTINGS_BYTES if small else MOST_DESCRIPTION_BYTES
            texts[name] = read_text(within(family / name, family.parent), limit=limit)
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            if is_shortage(error):
                raise
            found.refused[printable(str(family / name))] = printable(str(error))


def read_registry(
    folder: Path, variants: Collection[str] = (), trusted: TrustedKeys | None = None
) -> dict[str, list[Bundle]]:
    """Read the bundles of a registry, or those of `variants`, by family, smallest first.

    Inactive versions (`<variant>@NAME`) are left out. Raises BundleError if the folder is missing
    or empty, a manifest is wrong or not signed by a `trusted` key, or a named variant does not
    exist.
    """
    found = scan([folder], (), trusted)
    for reason in broken_in(found):
        raise BundleError(reason)
    check_names(found, [folder], variants)
    families: dict[str, list[Bundle]] = {}
    for name, bundles in found.bundles.items():
        its = [one for one in bundles if not variants or one.manifest.variant in variants]
        if active := [one for one in its if one.active]:
            families[name] = sorted(active, key=lambda b: (b.manifest.bytes, b.manifest.variant))
    return families


def broken_in(found: Found) -> list[str]:
    """Return why something is refused, except what can be no part of a family, as lost+found."""
    lost = {variant for _, variant in found.lost}
    return [
        reason
        for path, reason in found.refused.items()
        if NAME.fullmatch(Path(path).name.partition(BESIDE)[0]) or Path(path).name in lost
    ]


def check_names(found: Found, registries: Iterable[Path], variants: Collection[str]) -> None:
    """Raise BundleError if there is no bundle, or none of one of these variants."""
    where = ", ".join(map(str, registries))
    known = {bundle.manifest.variant for bundles in found.bundles.values() for bundle in bundles}
    broken = {variant for _, variant in found.lost}
    if known and (unknown := set(variants) - known - broken):
        raise BundleError(
            f"SIZEWISE_VARIANTS: there is no {', '.join(sorted(unknown))} in {where}; "
            f"it holds {', '.join(sorted(known))}"
        )
    if not known:
        raise BundleError(
            f"SIZEWISE_REGISTRY: {where} holds no bundle: "
            "run `make models` or `python -m models import`"
        )


def publish(
    source: Path, registry: Path, beside: str = "", expected: bytes | None = None
) -> Bundle:
    """Copy a finished bundle folder into the registry, verified and atomically.

    The copy is written to a temporary folder, verified there, synced to disk and swapped with
    `<family>/<variant>/`, so a reader finds either the old or the new version. Publishing the
    version that is already active changes nothing but its signature and what was measured. A
    replaced version, unless it was broken, stays as `<variant>@previous`, so that traffic.json can
    return to it. With `beside`, such as `@next`, the bundle becomes that inactive version.
    Raises BundleError if the source is broken, or its manifest is not the `expected` one.
    """
    bundle = read_bundle(source)
    verify(bundle)
    weights_files(bundle)
    manifest = bundle.manifest
    with failures(BundleError, str(source)):
        content = read_file(source / MANIFEST_NAME)
        signature = read_signature(within(source / SIGNATURE_NAME, source))
    if expected not in (None, content):
        raise BundleError(f"{source / MANIFEST_NAME} has changed: run this again")
    target = registry / manifest.family / (manifest.variant + beside)
    if target.is_symlink():
        raise BundleError(f"{target} is a link: remove it, so that the bundle can be published")
    there = intact(target)
    if there and read_file(target / MANIFEST_NAME) == content:
        if signature is not None:
            replace_file(target / SIGNATURE_NAME, signature)
        return there
    staged = create_beside(target)
    try:
        _stage(bundle, staged, {MANIFEST_NAME: content, SIGNATURE_NAME: signature})
        if target.exists():
            exchange(staged, target)
            if there and not beside and there.manifest.version != manifest.version:
                previous = target.with_name(target.name + PREVIOUS)
                remove(previous)
                staged.rename(previous)
        else:
            staged.rename(target)
    finally:
        remove(staged)
    sync(target.parent)
    return read_bundle(target)


def _stage(bundle: Bundle, staged: Path, own: dict[str, bytes | None]) -> None:
    """Write a bundle's files and `own` to a folder, verified there: the source may change."""
    for name in bundle.manifest.files:
        with failures(BundleError, str(bundle.folder)):
            source = within(bundle.path(name), bundle.folder)
            with open_file(source) as read, (staged / name).open("xb") as written:
                shutil.copyfileobj(read, written)
        sync(staged / name)
    for name, content in own.items():
        if content is not None:
            write_new(staged / name, content)
            sync(staged / name)
    sync(staged)
    copied = read_bundle(staged)
    if copied.manifest != bundle.manifest:
        raise BundleError(f"{bundle.folder} has changed: run this again")
    verify(copied)


def intact(folder: Path) -> Bundle | None:
    """Return a folder's bundle if it is complete and every file matches its manifest, else None."""
    try:
        bundle = read_bundle(folder)
        verify(bundle)
    except BundleError:
        return None
    return bundle


def _read_variant(folder: Path, trusted: TrustedKeys | None) -> Bundle:
    bundle = read_bundle(folder, trusted=trusted)
    named = (bundle.manifest.family, bundle.manifest.variant)
    if named != (folder.parent.name, folder.name.partition(BESIDE)[0]):
        raise BundleError(f"{folder}: its manifest says {'/'.join(named)}: rename the folder")
    return bundle
