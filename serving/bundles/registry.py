"""The registry: a folder `<family>/<variant>/` of bundles, read by serving and filled by models.

It does not know what a bundle's files mean or how they are run.
"""

import ctypes
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from serving.bundles.bundle import Bundle, read_bundle, verify
from serving.bundles.cascade import CASCADE_NAME
from serving.errors import BundleError

TRAFFIC_NAME = "traffic.json"
POLICY_NAME = "policy.json"
FAMILY_NAMES = (TRAFFIC_NAME, POLICY_NAME, CASCADE_NAME)
BESIDE = "@"
PREVIOUS = f"{BESIDE}previous"
# Of renameat2(2).
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@dataclass(frozen=True, slots=True)
class Found:
    """What lies in registries: by family, its folder, its bundles and the text of its own files.

    These are traffic.json, policy.json and cascade.json, by name, as far as they are there.
    `refused` has, by path, why something cannot be read.
    """

    folders: dict[str, Path] = field(default_factory=dict)
    bundles: dict[str, list[Bundle]] = field(default_factory=dict)
    texts: dict[str, dict[str, str]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def scan(registries: Iterable[Path], variants: Collection[str] = ()) -> Found:
    """All bundles of registries, or of the variants so named, versions beside included.

    A family lies in one of them; of two with its name the first counts.
    Raises BundleError when a folder is missing.
    """
    found = Found()
    for folder in registries:
        if not folder.is_dir():
            raise BundleError(
                f"SIZEWISE_REGISTRY: {folder} is not a folder: "
                "name one that holds <family>/<variant>/"
            )
        for family in _subfolders(folder):
            if family.name in found.folders:
                known = found.folders[family.name]
                found.refused[str(family)] = f"{known} is a family of this name: rename one"
            else:
                found.folders[family.name] = family
                _scan_family(family, variants, found)
    return found


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
    """Of all files of registries: changes when one is added, removed, replaced or grows."""
    paths = (path for folder in registries for path in folder.rglob("*") if path.is_file())
    files = ((path, path.stat()) for path in paths)
    return frozenset((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in files)


def read_registry(folder: Path, variants: Collection[str] = ()) -> dict[str, list[Bundle]]:
    """All bundles of a registry, or those so named: family name -> its bundles, smallest first.

    Versions beside (`<variant>@<anything>`) are left out. Raises BundleError when the folder is
    missing or empty, a manifest is wrong or no variant has one of the names.
    """
    found = scan([folder])
    for reason in found.refused.values():
        raise BundleError(reason)
    families = {
        name: sorted(
            (bundle for bundle in bundles if BESIDE not in bundle.folder.name),
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
    """Raises BundleError when there is no bundle, or none of one of these names."""
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
    """Put a finished bundle folder into the registry, verified and atomically.

    The copy is written aside, synced to disk and put in place of `<family>/<variant>/`: whoever
    looks finds the old or the new. Publishing the version that is already there changes nothing;
    another version takes its place, and what was there lies beside as `<variant>@previous`, so that
    traffic.json can go back to it, unless it was broken. With `beside`, such as `@next`, it is put
    there.
    Raises BundleError when the source is broken.
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
    """Swap two folders' names, at once where the file system can (most can, NFS cannot)."""
    libc = ctypes.CDLL(None, use_errno=True)
    paths = (_AT_FDCWD, bytes(one), _AT_FDCWD, bytes(other))
    if hasattr(libc, "renameat2") and libc.renameat2(*paths, _RENAME_EXCHANGE) == 0:
        return
    aside = one.with_name(one.name + ".old")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)


def replace_file(path: Path, content: bytes) -> None:
    """Let a file hold this, atomically, unless it does."""
    if path.is_file() and path.read_bytes() == content:
        return
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_bytes(content)
    sync(staged)
    staged.replace(path)


def intact(folder: Path) -> Bundle | None:
    """The bundle in a folder, if there is one and every file is what its manifest says."""
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
    """Wait until a file, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
