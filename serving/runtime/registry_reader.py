"""Reads the registries in threads: a file system that fails or hangs must not hold up the rest."""

from collections.abc import Callable
from typing import Any, TypeVar

from serving.background import Reader
from serving.bundles.fingerprint import fingerprint
from serving.bundles.registry import Found, scan
from serving.bundles.signatures import read_trusted_keys
from serving.bundles.strangers import strangers
from serving.errors import BundleError, printable
from serving.logs import log
from serving.settings import Settings

_Result = TypeVar("_Result")
_WHERE = "SIZEWISE_REGISTRY"


class RegistryReader(Reader):
    """Reads what lies in the registries, each time for at most `load_timeout_ms`."""

    def __init__(self, settings: Settings, on_change: Callable[[bool], None]) -> None:
        """Call `on_change` each time that the registries become unreadable, or readable again."""
        super().__init__(_WHERE, settings.load_timeout_ms / 1e3)
        self._settings = settings
        self._trusted = read_trusted_keys(settings.trusted_keys)
        self._on_change = on_change
        self.strangers: frozenset[str] = frozenset()
        """Refused paths of the last scan that are no bundles."""
        self._failing: dict[Callable[..., Any], str] = {}
        """What failed when it was last read, and why."""

    @property
    def failing(self) -> bool:
        """Whether something could not be read when it was last tried."""
        return bool(self._failing)

    async def fingerprint(self) -> frozenset[tuple[str, int, int]]:
        """See fingerprint.py."""
        return await self.read(fingerprint, self._settings.registry)

    async def scan(self) -> Found:
        """See registry.scan."""
        found, self.strangers = await self.read(self._scan)
        return found

    def _scan(self) -> tuple[Found, frozenset[str]]:
        registries = self._settings.registry
        found = scan(registries, self._settings.variants, self._trusted)
        return found, strangers(found.refused, registries)

    async def read(self, read: Callable[..., _Result], *arguments: object) -> _Result:
        """See Reader. The log says why it fails, each time that the reason changes, and the end."""
        try:
            result = await super().read(read, *arguments)
        except BundleError as error:
            if self._failing.get(read) != error.detail:
                log("registry unreadable", reason=printable(error.detail))
            if not self._failing:
                self._on_change(True)
            self._failing[read] = error.detail
            raise
        if self._failing.pop(read, None) and not self._failing:
            log("registry readable")
            self._on_change(False)
        return result
