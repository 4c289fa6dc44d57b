"""Reads the registries in threads: a file system that fails or hangs must not hold up the rest."""

from collections.abc import Callable

from serving.background import Reader
from serving.bundles.fingerprint import fingerprint
from serving.bundles.registry import Found, scan
from serving.bundles.signatures import read_trusted_keys
from serving.errors import printable
from serving.logs import log
from serving.settings import Settings

_WHERE = "SIZEWISE_REGISTRY"


class RegistryReader(Reader):
    """Reads what lies in the registries, each time for at most `load_timeout_ms`."""

    def __init__(self, settings: Settings, on_change: Callable[[bool], None]) -> None:
        """Call `on_change` each time that the registries become unreadable, or readable again."""
        super().__init__(_WHERE, settings.load_timeout_ms / 1e3)
        self._settings = settings
        self._trusted = read_trusted_keys(settings.trusted_keys)
        self._on_change = on_change
        self._failing = ""

    async def fingerprint(self) -> frozenset[tuple[str, int, int]]:
        """See fingerprint.py."""
        return await self.read(fingerprint, self._settings.registry)

    async def scan(self) -> Found:
        """See registry.scan."""
        return await self.read(
            scan, self._settings.registry, self._settings.variants, self._trusted
        )

    def note(self, reason: str) -> None:
        """Log why the registries cannot be read, "" if they can, each time that it changes."""
        if reason and reason != self._failing:
            log("registry unreadable", reason=printable(reason))
        elif self._failing and not reason:
            log("registry readable")
        if bool(reason) != bool(self._failing):
            self._on_change(bool(reason))
        self._failing = reason
