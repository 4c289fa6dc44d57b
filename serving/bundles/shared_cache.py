"""A folder that several processes share so that one of them downloads, whatever a neighbour does.

What a neighbour has spoilt there costs a download, never a start.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.bundles.bundle import MANIFEST_NAME, Manifest
from serving.bundles.download import NoRoomError, Remote, download, publish_downloaded
from serving.bundles.files import content_of, remove
from serving.errors import BundleError, own_words
from serving.logs import log

# A neighbour that never releases the lock only costs a second download.
_LOCK_S = 300.0
_LOCK_EVERY_S = 0.1


def publish_by_cache(remote: Remote, manifest: Manifest, kept: Path, target: Path) -> bool:
    """Publish a bundle by way of a family's folder in the cache, where it stays.

    Returns False if the cache cannot be used, and logs why.
    """
    try:
        kept.mkdir(parents=True, exist_ok=True)
        if kept.is_symlink():
            raise OSError(f"{kept} is a link")
        with _alone(kept / f".{remote.name}.lock") as locked:
            if locked:
                _publish(remote, manifest, kept / remote.name, target)
            return locked
    except (OSError, NoRoomError, _ChangedError) as error:
        log("the cache cannot be used: downloading without it", reason=own_words(error))
        return False


class _ChangedError(Exception):
    """A neighbour has changed what has just been verified."""


def _publish(remote: Remote, manifest: Manifest, folder: Path, target: Path) -> None:
    """Publish from the cache; what others have changed there is downloaded again."""
    if not folder.is_symlink() and content_of(folder / MANIFEST_NAME) == remote.manifest:
        try:
            publish_downloaded(remote, folder, target)
        except BundleError as error:
            log("the cache is broken: downloading again", folder=str(folder), reason=error.detail)
        else:
            log("already fetched", folder=str(folder))
            return
    remove(folder)
    if os.path.lexists(folder):
        raise OSError(f"{folder} cannot be removed")
    for left in folder.parent.iterdir():
        if re.fullmatch(rf"\.{re.escape(folder.name)}\.[0-9a-f]{{16}}", left.name):
            remove(left)  # of a download that was killed
    download(remote, manifest, folder, target)
    try:
        publish_downloaded(remote, folder, target)
    except BundleError as error:
        raise _ChangedError(error.detail) from error


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
