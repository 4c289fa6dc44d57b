"""Reads the registries in threads: a file system that fails or hangs must not hold up the rest."""

from collections.abc import Callable
from threading import Event
from typing import TypeVar

from serving.bundles.fingerprint import fingerprint
from serving.bundles.registry import Found, scan
from serving.bundles.signatures import read_trusted_keys
from serving.errors import BundleError, failures, printable
from serving.logs import log
from serving.runtime.background import in_background
from serving.settings import Settings

_Result = TypeVar("_Result")
_WHERE = "SIZEWISE_REGISTRY"


class RegistryReader:
    """Reads what lies in the registries. Every failure is a BundleError."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._trusted = read_trusted_keys(settings.trusted_keys)
        self._answered = Event()
        """Set unless a read has been given up on and is still running."""
        self._answered.set()
        self._failing = ""

    async def fingerprint(self) -> frozenset[tuple[str, int, int]]:
        """See fingerprint.py."""
        return await self.read(fingerprint, self._settings.registry)

    async def scan(self) -> Found:
        """See registry.scan."""
        return await self.read(
            scan, self._settings.registry, self._settings.variants, self._trusted
        )

    async def read(self, read: Callable[..., _Result], *arguments: object) -> _Result:
        """Read something, for at most `load_timeout_ms`; a read that hangs is not tried again."""
        if not self._answered.is_set():
            raise BundleError(f"{_WHERE}: the file system still does not answer")
        ended = Event()

        def work() -> _Result:
            try:
                with failures(BundleError, _WHERE):
                    return read(*arguments)
            finally:
                ended.set()

        limit_s = self._settings.load_timeout_ms / 1e3
        try:
            return await in_background(work, "reading the registry", limit_s)
        except BundleError:
            if not ended.is_set():
                self._answered = ended
            raise

    def note(self, reason: str) -> None:
        """Log why the registries cannot be read, "" if they can, each time that it changes."""
        if reason and reason != self._failing:
            log("registry unreadable", reason=printable(reason))
        elif self._failing and not reason:
            log("registry readable")
        self._failing = reason
