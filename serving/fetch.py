"""Brings a family's bundles from wherever fsspec reaches into a local registry.

It does not know how bundles are run, nor what else lies there.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import fsspec

from serving.bundle import MANIFEST_NAME, read_bundle, verify
from serving.errors import BundleError, StartError
from serving.logs import log
from serving.registry import publish


def fetch(
    url: str, target: Path, *, variants: Sequence[str] = (), cache: Path | None = None
) -> None:
    """Publish the bundles of the folder `url` as the family `target`, every sha256 verified.

    `url` is any that fsspec knows (`s3://`, `gs://`, `abfs://`, `https://`, `file://`); credentials
    come from its own environment variables. `variants` are all when empty. A file that `cache`, a
    folder shared with others, holds already is not downloaded again; one fetches while the others
    wait for it.
    Raises StartError when the URL cannot be read, BundleError when a bundle is not whole or not of
    the family that `target` names.
    """
    try:
        files, root = fsspec.core.url_to_fs(url)
        listed = files.ls(root, detail=True)
        folders = (each["name"] for each in listed if each["type"] == "directory")
        found = sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in folders)
    except (OSError, ValueError, ImportError) as error:
        raise StartError(f"{url} cannot be read: {error}") from error
    if missing := sorted(set(variants).difference(found)):
        raise StartError(f"{url}: no {', '.join(missing)}; it holds {', '.join(found)}")
    with tempfile.TemporaryDirectory() as own:
        kept = (cache or Path(own)) / target.name
        kept.mkdir(parents=True, exist_ok=True)
        for name in variants or found:
            try:
                text = files.cat_file(f"{root}/{name}/{MANIFEST_NAME}")
            except FileNotFoundError as error:
                if variants:
                    raise StartError(f"{url}/{name} holds no {MANIFEST_NAME}") from error
                continue  # not a bundle: a README or a listing's own entry
            with _alone(kept / f".{name}.lock") if cache else nullcontext():
                _download(files, f"{root}/{name}", text, kept / name)
            _publish(kept / name, target)
    if not any(target.glob(f"*/{MANIFEST_NAME}")):
        raise StartError(f"{url} holds no bundle: name the folder of a family")


def _download(files: Any, root: str, manifest: bytes, folder: Path) -> None:
    """A whole bundle in `folder`, unless it is there; its manifest is written last."""
    known = folder / MANIFEST_NAME
    if known.is_file() and known.read_bytes() == manifest:
        log("fetched before", folder=str(folder))
        return
    shutil.rmtree(folder, ignore_errors=True)
    staged = folder.with_name(f".{folder.name}.staged")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    (staged / MANIFEST_NAME).write_bytes(manifest)
    bundle = read_bundle(staged)
    for name in bundle.manifest.files:
        try:
            files.get_file(f"{root}/{name}", str(staged / name))
        except OSError as error:
            raise BundleError(f"{root}/{name} cannot be downloaded: {error}") from error
    verify(bundle)
    staged.rename(folder)
    log("fetched", folder=str(folder), bytes=bundle.manifest.bytes)


def _publish(folder: Path, target: Path) -> None:
    bundle = read_bundle(folder)
    if (family := bundle.manifest.family) != target.name:
        raise BundleError(f"{folder.name} is of the family {family}, not {target.name}: use --to")
    publish(folder, target.parent)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One at a time, whichever process or container; the kernel lets go when its holder dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
