"""Whether the files of running versions are still those that were loaded."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from serving.bundles.bundle import TOKENIZER_NAME, Bundle, VariantKey, key, verify, verify_file
from serving.errors import BundleError, failures
from serving.inference.tokenizer import Tokenizer, open_tokenizer
from serving.runtime.retention import retain
from serving.shortage import is_shortage

State = tuple[tuple[int, ...], ...]
"""What the file system says of each file; nobody can set the time of change, unlike the mtime."""


class _Checked(NamedTuple):
    bundle: VariantKey
    state: State
    reason: str
    """Why the files are not those of the manifest, or ""."""


class Integrity:
    """Compares files' sizes, times and inodes, and hashes the files when these have changed."""

    def __init__(self) -> None:
        self._checked: dict[Path, _Checked] = {}
        self._seen: dict[Path, State] = {}
        """As of the last check."""

    def verify(self, bundle: Bundle) -> None:
        """Verify a bundle that is about to be loaded. Raises BundleError."""
        # First: what is written meanwhile must be seen later.
        state = _state(bundle)
        verify(bundle)
        self._checked[bundle.folder] = _Checked(key(bundle), state, "")

    def forget(self, folders: Collection[Path]) -> None:
        """Forget all folders but these."""
        retain(self._checked, folders)
        retain(self._seen, folders)

    def altered(self, bundles: Iterable[Bundle]) -> list[tuple[Bundle, str]]:
        """Return the bundles whose files no longer match their manifests, with the reasons.

        Files are hashed once two calls in a row have seen the same change, so that none is judged
        while it is being copied. Raises BundleError if the machine is too short to hash them.
        """
        altered = []
        for bundle in bundles:
            state, checked = _state(bundle), self._checked.get(bundle.folder)
            same_bundle = checked is not None and checked.bundle == key(bundle)
            settled = self._seen.get(bundle.folder) == state
            self._seen[bundle.folder] = state
            if settled and not (checked and same_bundle and checked.state == state):
                checked = _Checked(key(bundle), state, _reason(bundle))
                self._checked[bundle.folder] = checked
                same_bundle = True
            if checked and same_bundle and checked.reason:
                altered.append((bundle, checked.reason))
        return altered


def open_verified(bundle: Bundle) -> Tokenizer | None:
    """Open a bundle's tokenizer: its file may have changed since the engine process verified it.

    Raises BundleError.
    """
    with failures(BundleError, str(bundle.folder)):
        if not bundle.manifest.tensors:
            verify_file(bundle, TOKENIZER_NAME)
        return open_tokenizer(bundle)


def _reason(bundle: Bundle) -> str:
    try:
        with failures(BundleError, str(bundle.folder)):
            verify(bundle)
    except BundleError as error:
        if is_shortage(error):
            raise
        return f"{error.detail}; what was loaded goes on, a restart would refuse it"
    return ""


def _state(bundle: Bundle) -> State:
    return tuple(_status(bundle.path(name)) for name in bundle.manifest.files)


def _status(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        return (getattr(error, "errno", None) or 0,)
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
