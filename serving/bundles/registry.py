"""The registry: `<family>/<variant>/` folders of bundles, published atomically.

A folder `<variant>@NAME` is an inactive version: traffic.json can name it.
"""

import ctypes
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from serving.bundles.bundle import Bundle, read_bundle, verify
from serving.bundles.cascade import CASCADE_NAME
from serving.bundles.exported import is_exported
from serving.bundles.one_model import files_of, read_as_family
from serving.errors import BundleError

TRAFFIC_NAME = "traffic.json"
POLICY_NAME = "policy.json"
FAMILY_NAMES = (TRAFFIC_NAME, POLICY_NAME, CASCADE_NAME)
BESIDE = "@"
PREVIOUS = f"{BESIDE}previous"
# Constants of renameat2(2).
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@dataclass(frozen=True, slots=True)
class Found:
    """The content of registries, by family: its folder, its bundles and the text of its own files.

    Those are traffic.json, policy.json and cascade.json, as far as they exist. `refused` maps each
    unreadable path to the reason.
    """

    folders: dict[str, Path] = field(default_factory=dict)
    bundles: dict[str, list[Bundle]] = field(default_factory=dict)
    texts: dict[str, dict[str, str]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def refuses(self, bundle: Bundle) -> bool:
        """Return whether the folder of a bundle, or another version of it, cannot be read."""
        its_names = (bundle.manifest.family, bundle.manifest.variant)
        return any(
            path == bundle.folder or (path.parent.name, path.name.partition(BESIDE)[0]) == its_names
            for path in map(Path, self.refused)
        )


def scan(registries: Iterable[Path], variants: Collection[str] = ()) -> Found:
    """Find all bundles of registries, or those of `variants`, inactive versions included.

    If two registries hold a family of the same name, the first one counts.
    Raises BundleError when a folder is missing.
    """
    found = Found()
    for folder in registries:
        if not folder.exists() or (folder.is_file() and not is_exported(folder)):
            raise BundleError(
                f"SIZEWISE_REGISTRY: {folder} is not a folder: name one that holds "
                "<family>/<variant>/, or the folder of one model"
            )
        if is_exported(folder):
            _scan_exported(folder, found)
            continue
        for family in _subfolders(folder):
            if _is_new(family.name, family, found):
                _scan_family(family, variants, found)
    return found


def _is_new(family: str, folder: Path, found: Found) -> bool:
    if family in found.folders:
        known = found.folders[family]
        found.refused[str(folder)] = f"{known} is a family of the same name: rename one"
        return False
    found.folders[family] = folder
    found.texts[family] = {}
    return True


def _scan_exported(folder: Path, found: Found) -> None:
    """Add the folder of one model, or its graph, as a family of one variant."""
    try:
        exported = read_as_family(folder)
    except (BundleError, OSError) as error:
        found.refused[str(folder)] = str(error)
        return
    if _is_new(exported.manifest.family, folder, found):
        found.bundles[exported.manifest.family] = [exported]


def _scan_family(family: Path, variants: Collection[str], found: Found) -> None:
    for path in _subfolders(family):
        if variants and path.name.partition(BESIDE)[0] not in variants:
            continue
        try:
            found.bundles.setdefault(family.name, []).append(_read_variant(path))
        except BundleError as error:
            found.refused[str(path)] = error.detail
    texts = found.texts.setdefault(family.name, {})
    for name in FAMILY_NAMES:
        try:
            texts[name] = (family / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            found.refused[str(family / name)] = str(error)


def fingerprint(registries: Iterable[Path]) -> frozenset[tuple[str, int, int]]:
    """Return a value that changes if a file is added, removed, replaced or grows."""
    files = (
        file
        for folder in registries
        for file in (
            files_of(folder)
            if is_exported(folder)
            else [(path, path.stat()) for path in folder.rglob("*") if path.is_file()]
        )
    )
    return frozenset((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in files)


def read_registry(folder: Path, variants: Collection[str] = ()) -> dict[str, list[Bundle]]:
    """Read the bundles of a registry, or those of `variants`, by family, smallest first.

    Inactive versions (`<variant>@NAME`) are left out. Raises BundleError if the folder is missing
    or empty, a manifest is wrong or a named variant does not exist.
    """
    found = scan([folder])
    for reason in found.refused.values():
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


def check_names(found: Found, registries: Iterable[Path], variants: Collection[str]) -> None:
    """Raise BundleError if there is no bundle, or none of one of these variants."""
    where = ", ".join(map(str, registries))
    known = {bundle.manifest.variant for bundles in found.bundles.values() for bundle in bundles}
    if known and (unknown := set(variants) - known):
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


def _subfolders(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.iterdir()) if p.is_dir() and not p.name.startswith("."))


def sync(path: Path) -> None:
    """Flush a file or a folder's entries to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
