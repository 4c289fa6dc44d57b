"""Downloads one bundle from a store and publishes it: the bytes that were checked are written."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from serving.bundles.bundle import MANIFEST_NAME, Manifest, read_bundle, verify
from serving.bundles.files import create_beside, parse, remove, replace_file, write_new
from serving.bundles.graph_files import weights_files
from serving.bundles.registry import BESIDE, publish
from serving.bundles.signatures import SIGNATURE_NAME
from serving.bundles.store import Store, patience_s
from serving.errors import BundleError, StartError, failures
from serving.logs import log


@dataclass(frozen=True, slots=True)
class Remote:
    """A bundle in the store, with what describes it."""

    store: Store
    name: str
    manifest: bytes
    signature: bytes | None

    @property
    def url(self) -> str:
        """Where its folder lies."""
        return f"{self.store.root}/{self.name}"

    def parsed(self) -> Manifest:
        """Return its manifest. Raises BundleError if it is wrong."""
        with failures(BundleError, self.url):
            text = self.manifest.decode()
        return parse(Manifest, text, f"{self.url}/{MANIFEST_NAME}")


class NoRoomError(BundleError):
    """A file system has no room for the bundle."""


def download(remote: Remote, manifest: Manifest, folder: Path, target: Path) -> None:
    """Download a bundle; the folder appears when it is complete and verified.

    Raises OSError if the folder cannot be written, NoRoomError if there is no room.
    """
    staged = create_beside(folder)
    try:
        size = sum(file.bytes for file in manifest.files.values())
        _check_room(remote, size, staged, target)
        until_s = time.monotonic() + patience_s(size)
        write_new(staged / MANIFEST_NAME, remote.manifest)
        if remote.signature is not None:
            write_new(staged / SIGNATURE_NAME, remote.signature)
        for name, expected in manifest.files.items():
            with (staged / name).open("xb") as file:
                left_s = until_s - time.monotonic()
                remote.store.copy(f"{remote.name}/{name}", file, expected.bytes, left_s)
        try:
            copied = read_bundle(staged)
            verify(copied)
            weights_files(copied)
        except BundleError as error:
            raise BundleError(error.detail.replace(str(staged), remote.url)) from error
        staged.rename(folder)
    finally:
        remove(staged)
    log("fetched", folder=str(folder), bytes=size)


def publish_downloaded(remote: Remote, folder: Path, target: Path) -> None:
    """Publish a folder as the bundle of the family `target`. Raises StartError if it cannot be."""
    _, beside, name = remote.name.partition(BESIDE)
    with failures(StartError, str(target / remote.name)):
        publish(folder, target.parent, beside + name, expected=remote.manifest)
        if remote.signature is not None:
            replace_file(target / remote.name / SIGNATURE_NAME, remote.signature)


def _check_room(remote: Remote, size: int, staged: Path, target: Path) -> None:
    """Check that there is room for the download and for the published copy of it."""
    published = next(each for each in target.absolute().parents if each.exists())
    copies = 2 if staged.stat().st_dev == published.stat().st_dev else 1
    for folder in (staged, published):
        if copies * size > (free := shutil.disk_usage(folder).free):
            raise NoRoomError(f"{remote.url} has {size:,} bytes, of {free:,} free at {folder}")
