"""The registry: a folder `<family>/<variant>/` of bundles, read by serving and filled by models.

It does not know what a bundle's files mean or how they are run.
"""

import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from serving.bundle import Bundle, read_bundle, verify
from serving.errors import BundleError


def read_registry(folder: Path, variants: Collection[str] = ()) -> dict[str, list[Bundle]]:
    """All bundles of a registry, or those so named: family name -> its bundles, smallest first.

    Raises BundleError when the folder is missing or empty, a manifest is wrong or no variant has
    one of the names.
    """
    if not folder.is_dir():
        raise BundleError(
            f"SIZEWISE_REGISTRY: {folder} is not a folder: name one that holds <family>/<variant>/"
        )
    families = {
        family.name: sorted(
            (_read_variant(path) for path in _subfolders(family)),
            key=lambda bundle: (bundle.manifest.bytes, bundle.manifest.variant),
        )
        for family in _subfolders(folder)
    }
    known = {bundle.manifest.variant for bundles in families.values() for bundle in bundles}
    if known and (unknown := set(variants) - known):
        raise BundleError(
            f"SIZEWISE_VARIANTS: there is no {', '.join(sorted(unknown))} in {folder}; "
            f"it holds {', '.join(sorted(known))}"
        )
    families = {
        name: [one for one in bundles if not variants or one.manifest.variant in variants]
        for name, bundles in families.items()
    }
    families = {name: bundles for name, bundles in families.items() if bundles}
    if not families:
        raise BundleError(
            f"SIZEWISE_REGISTRY: {folder} holds no bundle: "
            "run `make models` or `python -m models import`"
        )
    return families


def publish(source: Path, registry: Path) -> Bundle:
    """Put a finished bundle folder into the registry, verified and atomically.

    The copy is written aside, synced to disk and renamed into `<family>/<variant>/`. Publishing
    the version that is already there changes nothing; another version takes its place.
    Raises BundleError when the source is broken.
    """
    bundle = read_bundle(source)
    verify(bundle)
    manifest = bundle.manifest
    target = registry / manifest.family / manifest.variant
    if target.is_dir() and read_bundle(target).manifest == manifest:
        return read_bundle(target)
    staged = target.parent / f".{manifest.variant}.{manifest.version}.{os.getpid()}"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    for name in (*manifest.files, "manifest.json"):
        shutil.copyfile(source / name, staged / name)
        _sync(staged / name)
    _sync(staged)
    retired = staged.with_name(staged.name + ".retired")
    if target.exists():
        target.rename(retired)
    staged.rename(target)
    _sync(target.parent)
    shutil.rmtree(retired, ignore_errors=True)
    return read_bundle(target)


def _read_variant(folder: Path) -> Bundle:
    bundle = read_bundle(folder)
    named = (bundle.manifest.family, bundle.manifest.variant)
    if named != (folder.parent.name, folder.name):
        raise BundleError(f"{folder}: its manifest says {'/'.join(named)}: rename the folder")
    return bundle


def _subfolders(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.iterdir()) if p.is_dir() and not p.name.startswith("."))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
