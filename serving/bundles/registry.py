"""The registry: `<family>/<variant>/` folders of bundles, published atomically.

A folder `<variant>@NAME` is an inactive version: traffic.json can name it.
"""

import ctypes
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from serving.bundles.bundle import (
    CONFIG_NAME,
    MANIFEST_NAME,
    MODEL_NAME,
    OPENVINO_NAMES,
    TOKENIZER_NAME,
    Bundle,
    read_bundle,
    verify,
)
from serving.bundles.cascade import CASCADE_NAME
from serving.bundles.exported import is_exported
from serving.bundles.files import NAME, read_text
from serving.bundles.one_model import read_as_family
from serving.errors import BundleError, failures, own_words, printable

TRAFFIC_NAME = "traffic.json"
POLICY_NAME = "policy.json"
FAMILY_NAMES = (TRAFFIC_NAME, POLICY_NAME, CASCADE_NAME)
BESIDE = "@"
PREVIOUS = f"{BESIDE}previous"
Lost = dict[tuple[str, str], str]
"""Broken bundles by family and variant, with the reasons."""
_PARTS = (MANIFEST_NAME, MODEL_NAME, *OPENVINO_NAMES, TOKENIZER_NAME, CONFIG_NAME)
# Constants of renameat2(2).
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@dataclass(frozen=True, slots=True)
class Found:
    """The content of registries, by family: its folder, its bundles and the text of its own files.

    Those are traffic.json, policy.json and cascade.json, as far as they exist. `refused` maps each
    unreadable path to the reason, and `lost` those of them that are bundles, without the inactive
    versions.
    """

    folders: dict[str, Path] = field(default_factory=dict)
    bundles: dict[str, list[Bundle]] = field(default_factory=dict)
    texts: dict[str, dict[str, str]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    lost: Lost = field(default_factory=dict)


def scan(registries: Iterable[Path], variants: Collection[str] = ()) -> Found:
    """Find all bundles of registries, or those of `variants`, inactive versions included.

    If two registries hold a family of the same name, the first one counts.
    Raises BundleError when a folder is missing or cannot be read.
    """
    found = Found()
    for folder in registries:
        with failures(BundleError, f"SIZEWISE_REGISTRY: {folder}"):
            wrong = not folder.exists() or (folder.is_file() and not is_exported(folder))
        if wrong:
            raise BundleError(
                f"SIZEWISE_REGISTRY: {folder} is not a folder: name one that holds "
                "<family>/<variant>/, or the folder of one model"
            )
        if is_exported(folder):
            _add(folder, found, partial(_scan_exported, folder, found))
            continue
        with failures(BundleError, str(folder)):
            families = list(_subfolders(folder, found.refused))
        for family in families:
            if family.name in found.folders:
                found.refused[printable(str(family))] = _twice(found.folders[family.name])
            else:
                _add(family, found, partial(_scan_family, family, variants, found))
    return found


def _add(folder: Path, found: Found, scan_it: Callable[[], None]) -> None:
    try:
        with failures(BundleError, str(folder)):
            scan_it()
    except BundleError as error:
        found.refused[printable(str(folder))] = error.detail


def _twice(known: Path) -> str:
    return f"{known} is a family of the same name: rename one"


def _scan_exported(folder: Path, found: Found) -> None:
    """Add the folder of one model, or its graph, as a family of one variant."""
    try:
        bundle = read_as_family(folder)
    except BaseException as error:
        found.lost[printable(folder.name), printable(folder.name)] = own_words(error)
        raise
    family = bundle.manifest.family
    if family in found.folders:
        raise BundleError(_twice(found.folders[family]))
    found.folders[family] = folder
    found.texts[family] = {}
    found.bundles[family] = [bundle]


def _scan_family(family: Path, variants: Collection[str], found: Found) -> None:
    found.folders[family.name] = family
    for path in list(_subfolders(family, found.refused)):
        if variants and path.name.partition(BESIDE)[0] not in variants:
            continue
        try:
            with failures(BundleError, str(path)):
                bundle = _read_variant(path)
        except BundleError as error:
            found.refused[printable(str(path))] = error.detail
            if BESIDE not in path.name and _holds_a_bundle(path):
                found.lost[family.name, path.name] = error.detail
        else:
            found.bundles.setdefault(family.name, []).append(bundle)
    texts = found.texts.setdefault(family.name, {})
    for name in FAMILY_NAMES:
        try:
            texts[name] = read_text(family / name)
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            found.refused[printable(str(family / name))] = printable(str(error))


def read_registry(folder: Path, variants: Collection[str] = ()) -> dict[str, list[Bundle]]:
    """Read the bundles of a registry, or those of `variants`, by family, smallest first.

    Inactive versions (`<variant>@NAME`) are left out. Raises BundleError if the folder is missing
    or empty, a manifest is wrong or a named variant does not exist.
    """
    found = scan([folder])
    for reason in broken_in(found):
        raise BundleError(reason)
    families = {
        name: sorted(
            (bundle for bundle in bundles if bundle.active),
            key=lambda bundle: (bundle.manifest.bytes, bundle.manifest.variant),
        )
        for name, bundles in found.bundles.items()
    }
    check_names(found, [folder], variants)
    families = {
        name: [one for one in bundles if not variants or one.manifest.variant in variants]
        for name, bundles in families.items()
    }
    return {name: bundles for name, bundles in families.items() if bundles}


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


def publish(source: Path, registry: Path, beside: str = "") -> Bundle:
    """Copy a finished bundle folder into the registry, verified and atomically.

    The copy is written to a temporary folder, synced to disk and swapped with
    `<family>/<variant>/`, so a reader finds either the old or the new version. Publishing the
    version that is already active changes nothing. A replaced version, unless it was broken, stays
    as `<variant>@previous`, so that traffic.json can return to it. With `beside`, such as `@next`,
    the bundle becomes that inactive version.
    Raises BundleError if the source is broken.
    """
    bundle = read_bundle(source)
    verify(bundle)
    manifest = bundle.manifest
    target = registry / manifest.family / (manifest.variant + beside)
    there = intact(target)
    if there and there.manifest == manifest:
        return there
    staged = target.parent / f".{manifest.variant}.{manifest.version}.{os.getpid()}"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    for name in (*manifest.files, "manifest.json"):
        shutil.copyfile(source / name, staged / name)
        sync(staged / name)
    sync(staged)
    if target.exists():
        _exchange(staged, target)
        if there and not beside:
            previous = target.with_name(target.name + PREVIOUS)
            shutil.rmtree(previous, ignore_errors=True)
            staged.rename(previous)
        shutil.rmtree(staged, ignore_errors=True)
    else:
        staged.rename(target)
    sync(target.parent)
    return read_bundle(target)


def _exchange(one: Path, other: Path) -> None:
    """Swap the names of two folders, in one step where the file system can (NFS cannot)."""
    libc = ctypes.CDLL(None, use_errno=True)
    paths = (_AT_FDCWD, bytes(one), _AT_FDCWD, bytes(other))
    if hasattr(libc, "renameat2") and libc.renameat2(*paths, _RENAME_EXCHANGE) == 0:
        return
    aside = one.with_name(one.name + ".old")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file atomically, unless it already has this content."""
    if path.is_file() and path.read_bytes() == content:
        return
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_bytes(content)
    sync(staged)
    staged.replace(path)


def intact(folder: Path) -> Bundle | None:
    """Return a folder's bundle if it is complete and every file matches its manifest, else None."""
    try:
        bundle = read_bundle(folder)
        verify(bundle)
    except BundleError:
        return None
    return bundle


def _read_variant(folder: Path) -> Bundle:
    bundle = read_bundle(folder)
    named = (bundle.manifest.family, bundle.manifest.variant)
    if named != (folder.parent.name, folder.name.partition(BESIDE)[0]):
        raise BundleError(f"{folder}: its manifest says {'/'.join(named)}: rename the folder")
    return bundle


def _holds_a_bundle(folder: Path) -> bool:
    """Return whether a folder that is refused was meant as a bundle, as far as one can tell."""
    if not NAME.fullmatch(folder.name) or not NAME.fullmatch(folder.parent.name):
        return False
    try:
        return any((folder / name).exists() for name in _PARTS)
    except OSError:
        return True


def _subfolders(folder: Path, refused: dict[str, str]) -> Iterator[Path]:
    """Yield the folders, and the links that lead nowhere: their error is the reason to refuse.

    What the file system gives no information about is refused.
    """
    for path in sorted(folder.iterdir()):
        try:
            broken = path.is_symlink() and not path.exists()
            if not path.name.startswith(".") and (broken or path.is_dir()):
                yield path
        except OSError as error:
            refused[printable(str(path))] = printable(own_words(error))


def sync(path: Path) -> None:
    """Flush a file or a folder's entries to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
