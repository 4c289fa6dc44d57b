"""Mirror a family's bundles from any URL that fsspec reads into a local registry."""

import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import fsspec

from serving.bundles.bundle import MANIFEST_NAME, read_bundle, verify
from serving.bundles.registry import BESIDE, FAMILY_NAMES, intact, publish, replace_file
from serving.errors import BundleError, StartError
from serving.extras import optional_packages
from serving.logs import log


def follow(
    url: str,
    target: Path,
    every_s: float,
    *,
    variants: Sequence[str] = (),
    cache: Path | None = None,
) -> NoReturn:
    """Call `fetch` every `every_s` seconds; failures are logged and retried."""
    while True:
        try:
            fetch(url, target, variants=variants, cache=cache)
        except (StartError, OSError) as error:
            log("fetch failed", reason=str(error))
        time.sleep(every_s)


def fetch(
    url: str, target: Path, *, variants: Sequence[str] = (), cache: Path | None = None
) -> None:
    """Publish the bundles of the folder `url` as the family `target`, every sha256 verified.

    `url` is any that fsspec knows (`s3://`, `gs://`, `abfs://`, `hf://`, `https://`, `file://`);
    credentials come from its own environment variables. `variants` empty means all. Inactive
    versions are mirrored too, then the family's own files (traffic.json, policy.json,
    cascade.json): those that are gone at the source are removed. Nothing that `target` or `cache`
    already holds is downloaded again; `cache` is a folder shared between processes, of which one
    downloads while the others wait.
    Raises StartError if the URL cannot be read, BundleError if a bundle is broken or belongs to
    another family than `target` names.
    """
    with _reading(url):
        files, root = fsspec.core.url_to_fs(url)
        files.invalidate_cache()
        listed = {
            each["name"].rstrip("/").rsplit("/", 1)[-1]: each
            for each in files.ls(root, detail=True)
        }
    found = sorted(name for name, each in listed.items() if each["type"] == "directory")
    if missing := sorted(set(variants).difference(found)):
        raise StartError(f"{url}: no {', '.join(missing)}; it holds {', '.join(found)}")
    with tempfile.TemporaryDirectory() as own:
        kept = (cache or Path(own)) / target.name
        kept.mkdir(parents=True, exist_ok=True)
        for name in found:
            if variants and name.partition(BESIDE)[0] not in variants:
                continue
            manifest = _read(files, f"{root}/{name}/{MANIFEST_NAME}")
            if manifest is None:
                if name in variants:
                    raise StartError(f"{url}/{name} holds no {MANIFEST_NAME}")
                continue  # not a bundle: a README or a listing's own entry
            if intact(target / name) and (target / name / MANIFEST_NAME).read_bytes() == manifest:
                continue
            with _alone(kept / f".{name}.lock") if cache else nullcontext():
                _download(files, f"{root}/{name}", manifest, kept / name)
            _publish(kept / name, target)
    if not any(target.glob(f"*/{MANIFEST_NAME}")):
        raise StartError(f"{url} holds no bundle: give the URL of a family's folder")
    for name in FAMILY_NAMES:
        text = _read(files, f"{root}/{name}") if name in listed else None
        _mirror(target / name, text)


def _mirror(path: Path, text: bytes | None) -> None:
    if text is None:
        path.unlink(missing_ok=True)
    else:
        replace_file(path, text)


@contextmanager
def _reading(url: str) -> Iterator[None]:
    """Turn whatever a store raises into a StartError."""
    try:
        with optional_packages(url):
            yield
    except StartError:
        raise
    except Exception as error:
        raise StartError(f"{url} cannot be read: {error}") from error


def _read(files: Any, path: str) -> bytes | None:
    with _reading(path):
        try:
            content: bytes = files.cat_file(path)
        except FileNotFoundError:
            return None
        return content


def _download(files: Any, root: str, manifest: bytes, folder: Path) -> None:
    """Download a bundle to `folder` unless it is there; the folder appears when it is complete."""
    known = folder / MANIFEST_NAME
    if known.is_file() and known.read_bytes() == manifest:
        log("already fetched", folder=str(folder))
        return
    shutil.rmtree(folder, ignore_errors=True)
    staged = folder.with_name(f".{folder.name}.staged")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    (staged / MANIFEST_NAME).write_bytes(manifest)
    try:
        bundle = read_bundle(staged)
        for name in bundle.manifest.files:
            with _reading(f"{root}/{name}"):
                files.get_file(f"{root}/{name}", str(staged / name))
        verify(bundle)
    except BundleError as error:
        raise BundleError(str(error).replace(str(staged), root)) from error
    staged.rename(folder)
    log("fetched", folder=str(folder), bytes=bundle.manifest.bytes)


def _publish(folder: Path, target: Path) -> None:
    bundle = read_bundle(folder)
    if (family := bundle.manifest.family) != target.name:
        raise BundleError(f"{folder.name} is of the family {family}, not {target.name}: use --to")
    _, beside, name = folder.name.partition(BESIDE)
    publish(folder, target.parent, beside + name)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock across processes and containers; the kernel releases it if the holder dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
