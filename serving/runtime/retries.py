"""When the registries are loaded again although no file in them has changed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serving.shortage import is_shortage

# What was refused for want of memory or time may load later.
_RETRY_S = 60.0
_SHORTAGE_S = 2.0


class Retries:
    """Soon after a shortage, then less and less often; each minute while something is missing."""

    def __init__(self) -> None:
        self._ended_s = 0.0
        self._short = False
        self._pause_s = _SHORTAGE_S

    @asynccontextmanager
    async def loading(self) -> AsyncIterator[None]:
        """Load everything within this: the pause before the next time begins at its end."""
        self._pause_s = min(2 * self._pause_s, _RETRY_S) if self._short else _SHORTAGE_S
        self._short = False
        try:
            yield
        finally:
            self._ended_s = asyncio.get_running_loop().time()

    def note(self, error: Exception) -> None:
        """Note why a bundle could not be loaded."""
        self._short = self._short or is_shortage(error)

    def due(self, *, missing: bool) -> bool:
        """Return whether it is time; `missing` says whether the server lacks what it must serve."""
        if not self._short and not missing:
            return False
        pause_s = self._pause_s if self._short else _RETRY_S
        return asyncio.get_running_loop().time() > self._ended_s + pause_s
