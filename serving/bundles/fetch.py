"""Mirror a family's bundles from any URL that fsspec reads into a local registry."""

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from serving.bundles.bundle import MANIFEST_NAME, Manifest, read_bundle, verify
from serving.bundles.files import create_beside, parse, read_file, remove, replace_file, write_new
from serving.bundles.registry import BESIDE, FAMILY_NAMES, intact, publish
from serving.bundles.signatures import SIGNATURE_NAME, TrustedKeys
from serving.bundles.store import Store
from serving.errors import BundleError, StartError, failures
from serving.logs import log

_NAME = r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?"
_FOLDER_NAME = re.compile(rf"{_NAME}({BESIDE}{_NAME})?")
# A neighbour that never releases the lock only costs a second download.
_LOCK_S = 300.0
_LOCK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class _Remote:
    """A bundle in the store: the bytes that were checked are those that are written."""

    store: Store
    name: str
    manifest: bytes
    signature: bytes | None

    @property
    def url(self) -> str:
        return f"{self.store.root}/{self.name}"

    def parsed(self) -> Manifest:
        with failures(BundleError, self.url):
            text = self.manifest.decode()
        return parse(Manifest, text, f"{self.url}/{MANIFEST_NAME}")


def follow(
    url: str,
    target: Path,
    every_s: float,
    *,
    variants: Sequence[str] = (),
    cache: Path | None = None,
    trusted: TrustedKeys | None = None,
) -> NoReturn:
    """Call `fetch` every `every_s` seconds; failures are logged and retried."""
    while True:
        try:
            fetch(url, target, variants=variants, cache=cache, trusted=trusted)
        except (StartError, OSError) as error:
            log("fetch failed", reason=str(error))
        time.sleep(every_s)


def fetch(
    url: str,
    target: Path,
    *,
    variants: Sequence[str] = (),
    cache: Path | None = None,
    trusted: TrustedKeys | None = None,
) -> None:
    """Publish the bundles of the folder `url` as the family `target`, every sha256 verified.

    `url` is any that fsspec knows (`s3://`, `gs://`, `abfs://`, `hf://`, `https://`, `file://`);
    credentials come from its own environment variables. `variants` empty means all. Inactive
    versions are mirrored too, then the family's own files (traffic.json, policy.json,
    cascade.json): those that are gone at the source are removed. Nothing that `target` or `cache`
    already holds is downloaded again; `cache` is a folder shared between processes, of which one
    downloads while the others wait.
    Raises StartError if the URL cannot be read, BundleError if a bundle is broken, not signed by
    one of the `trusted` keys, or belongs to another family than `target` names.
    """
    store = Store(url)
    listed = store.names()
    for name in _wanted(url, listed, variants):
        remote = _remote(store, name, trusted)
        if remote and not _is_there(target / name, remote):
            _bring(remote, target, cache)
        elif not remote and name in variants:
            raise StartError(f"{url}/{name} holds no {MANIFEST_NAME}")
    if not any(target.glob(f"*/{MANIFEST_NAME}")):
        raise StartError(f"{url} holds no bundle: give the URL of a family's folder")
    for name in FAMILY_NAMES:
        text = store.text(name) if name in listed else None
        if text is None:
            (target / name).unlink(missing_ok=True)
        else:
            replace_file(target / name, text)


def _wanted(url: str, listed: Mapping[str, bool], variants: Sequence[str]) -> list[str]:
    """Return the folders that may be bundles of these variants, of what the store lists."""
    folders = sorted(name for name, is_folder in listed.items() if is_folder)
    found = list(filter(_FOLDER_NAME.fullmatch, folders))
    if ignored := sorted(set(folders).difference(found)):
        log("ignored in the store: not the name of a variant", names=ignored[:10])
    if missing := sorted(set(variants).difference(found)):
        raise StartError(f"{url}: no {', '.join(missing)}; it holds {', '.join(found)}")
    return [name for name in found if not variants or name.partition(BESIDE)[0] in variants]


def _remote(store: Store, name: str, trusted: TrustedKeys | None) -> _Remote | None:
    """Read and check what describes a bundle, before anything is written."""
    manifest = store.text(f"{name}/{MANIFEST_NAME}")
    if manifest is None:
        return None
    remote = _Remote(store, name, manifest, store.text(f"{name}/{SIGNATURE_NAME}"))
    if trusted:
        trusted.check(manifest, remote.signature, remote.url)
    return remote


def _is_there(folder: Path, remote: _Remote) -> bool:
    known = folder / MANIFEST_NAME
    if folder.is_symlink() or not known.is_file() or known.read_bytes() != remote.manifest:
        return False
    if not intact(folder):
        return False
    if remote.signature is not None:
        replace_file(folder / SIGNATURE_NAME, remote.signature)
    return True


def _bring(remote: _Remote, target: Path, cache: Path | None) -> None:
    """Download a bundle, or take it from the cache, and publish it."""
    manifest = remote.parsed()
    names = (manifest.family, manifest.variant)
    if manifest.family != target.name:
        raise BundleError(
            f"{remote.name} is of the family {manifest.family}, not {target.name}: use --to"
        )
    if manifest.variant != remote.name.partition(BESIDE)[0]:
        raise BundleError(f"{remote.url}: its manifest says {'/'.join(names)}: rename the folder")
    if cache:
        kept = cache / target.name
        with failures(StartError, str(kept)):
            kept.mkdir(parents=True, exist_ok=True)
            if kept.is_symlink():
                raise StartError(f"{kept} is a link: remove it, or give another --cache")
            with _alone(kept / f".{remote.name}.lock") as locked:
                if locked:
                    _from_cache(remote, manifest, kept / remote.name, target)
                    return
    with tempfile.TemporaryDirectory() as own:
        folder = Path(own) / remote.name
        _download(remote, manifest, folder, target)
        _publish(remote, folder, target)


def _from_cache(remote: _Remote, manifest: Manifest, folder: Path, target: Path) -> None:
    """Publish from the cache; what others have changed there is downloaded again."""
    known = folder / MANIFEST_NAME
    if not folder.is_symlink() and _content(known) == remote.manifest:
        try:
            _publish(remote, folder, target)
        except BundleError as error:
            log("the cache is broken: downloading again", folder=str(folder), reason=error.detail)
        else:
            log("already fetched", folder=str(folder))
            return
    remove(folder)
    for left in folder.parent.iterdir():
        if re.fullmatch(rf"\.{re.escape(folder.name)}\.[0-9a-f]{{16}}", left.name):
            remove(left)  # of a download that was killed
    _download(remote, manifest, folder, target)
    _publish(remote, folder, target)


def _content(path: Path) -> bytes | None:
    try:
        return read_file(path)
    except OSError:
        return None


def _check_room(remote: _Remote, size: int, staged: Path, target: Path) -> None:
    """Raise BundleError unless there is room for the download and for the published copy of it."""
    published = next(each for each in target.absolute().parents if each.exists())
    copies = 2 if staged.stat().st_dev == published.stat().st_dev else 1
    for folder in (staged, published):
        if copies * size > (free := shutil.disk_usage(folder).free):
            raise BundleError(f"{remote.url} has {size:,} bytes, of {free:,} free at {folder}")


def _download(remote: _Remote, manifest: Manifest, folder: Path, target: Path) -> None:
    """Download a bundle; the folder appears when it is complete and verified."""
    staged = create_beside(folder)
    try:
        size = sum(file.bytes for file in manifest.files.values())
        _check_room(remote, size, staged, target)
        write_new(staged / MANIFEST_NAME, remote.manifest)
        if remote.signature is not None:
            write_new(staged / SIGNATURE_NAME, remote.signature)
        for name, expected in manifest.files.items():
            with (staged / name).open("xb") as file:
                remote.store.copy(f"{remote.name}/{name}", file, expected.bytes)
        try:
            verify(read_bundle(staged))
        except BundleError as error:
            raise BundleError(error.detail.replace(str(staged), remote.url)) from error
        staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    log("fetched", folder=str(folder), bytes=size)


def _publish(remote: _Remote, folder: Path, target: Path) -> None:
    _, beside, name = remote.name.partition(BESIDE)
    publish(folder, target.parent, beside + name, expected=remote.manifest)
    if remote.signature is not None:
        replace_file(target / remote.name / SIGNATURE_NAME, remote.signature)


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Hold a lock across processes and containers; the kernel releases it if the holder dies.

    Yields False if another holds it for too long.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o666)
    try:
        yield _locked(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    until_s = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until_s:
                return False
            time.sleep(_LOCK_EVERY_S)
        else:
            return True
