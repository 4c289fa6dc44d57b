"""A gRPC server that does not stay away: grpcio's ends at the first path that is not UTF-8."""

import asyncio
from collections.abc import Callable
from typing import Any

from serving.errors import StartError
from serving.logs import LOGGER
from serving.runtime.background import start
from serving.settings import Settings

_LOOK_EVERY_S = 0.05


class Listener:
    """The server that `make` makes, made anew when it has ended by itself.

    grpcio decodes a call's path in the loop that accepts calls. An error there closes the port for
    ever, and is raised to nobody; calls in progress go on.
    """

    def __init__(self, make: Callable[[], Any], settings: Settings) -> None:
        """Make the first server. Raises what `make` raises."""
        self._make = make
        self._drain_s = settings.drain_ms / 1e3
        self._longest_s = settings.max_deadline_ms / 1e3
        self._server = make()
        self._stopping = False
        self._ended: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Accept calls."""
        await self._server.start()
        self._watching = start(self._watch(), "keeping gRPC up")

    async def stop(self) -> None:
        """Accept no more calls, and cancel those that are not answered in time."""
        self._stopping = True
        await self._watching
        last = asyncio.ensure_future(self._server.stop(self._drain_s))
        await asyncio.wait((last, *self._ended), timeout=self._drain_s)
        await last

    async def _watch(self) -> None:
        while not self._stopping:
            await asyncio.sleep(_LOOK_EVERY_S)
            # Nothing public tells; wait_for_termination() waits for the calls in progress too.
            if not self._stopping and not self._server._server.is_running():  # noqa: SLF001
                await self._renew()

    async def _renew(self) -> None:
        try:
            server = self._make()
        except StartError as error:  # another program has taken the port: look again
            LOGGER.error("gRPC has ended and cannot be started again: %s", error.detail)
            return
        ended, self._server = self._server, server
        await server.start()
        task = start(ended.stop(self._longest_s), "answering what gRPC had accepted")
        self._ended.add(task)
        task.add_done_callback(self._ended.discard)
        LOGGER.warning("gRPC had ended, and was started again")
