"""A gRPC server that does not stay away: grpcio's ends at the first path that is not UTF-8."""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from serving.background import keep_running, start
from serving.errors import StartError
from serving.logs import LOGGER
from serving.protocols.grpc.bounds import connection_bounds
from serving.settings import Settings

_LOOK_EVERY_S = 0.05
# A client may end one server after the other: each is missed for twice as long as the last one,
# and the calls of the oldest are cut, so that neither connections nor log lines pile up.
_MOST_PAUSE_S = 2.0
_CALM_S = 60.0
_MOST_ENDED = 4
# To send what is refused when the drain is over.
_LAST_ANSWERS_S = 2.0


class Listener:
    """A server of these handlers, made anew when it has ended by itself.

    grpcio decodes a call's path in the loop that accepts calls. An error there closes the port for
    ever, and is raised to nobody; calls in progress go on.
    """

    def __init__(
        self,
        handlers: Sequence[Any],
        settings: Settings,
        end_drain: Callable[[], None] = lambda: None,
    ) -> None:
        """Bind the port. `end_drain` refuses the calls in progress. Raises StartError."""
        self._handlers = handlers
        self._settings = settings
        self._end_drain = end_drain
        self._drain_s = settings.drain_ms / 1e3
        self._longest_s = settings.max_deadline_ms / 1e3
        self._server = self._made()
        self._tried_s = -math.inf
        """When it was last made anew, or could not be, on the loop's clock."""
        self._pause_s = _LOOK_EVERY_S
        self._refused = False
        """The port could not be bound again, and the log has said so."""
        self._ended: dict[asyncio.Task[None], Any] = {}
        """Servers that have calls to answer, the oldest first."""

    async def start(self) -> None:
        """Accept calls."""
        await self._server.start()
        what = "keeping gRPC up"
        self._watching = start(keep_running(self._watch, what), what)

    async def stop(self) -> None:
        """Accept no more calls, and refuse those that are not answered in time."""
        self._watching.cancel()
        await asyncio.wait((self._watching,))
        last = asyncio.ensure_future(self._server.stop(self._drain_s + _LAST_ANSWERS_S))
        stopping = (last, *self._ended)
        _, late = await asyncio.wait(stopping, timeout=self._drain_s)
        if late:
            self._end_drain()
            await asyncio.wait(late, timeout=_LAST_ANSWERS_S)
        await last

    def _made(self) -> Any:
        settings = self._settings
        server = grpc.aio.server(
            options=[
                *connection_bounds(settings),
                # HTTP processes share the port; two servers by mistake do not.
                ("grpc.so_reuseport", int(settings.http_processes > 0)),
            ]
        )
        server.add_generic_rpc_handlers(self._handlers)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        try:
            server.add_insecure_port(f"{host}:{settings.grpc_port}")
        except RuntimeError as error:
            raise StartError(
                f"SIZEWISE_GRPC_PORT: {host}:{settings.grpc_port} cannot be bound: choose another"
            ) from error
        return server

    async def _watch(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            # Nothing public tells; wait_for_termination() waits for the calls in progress too.
            if self._server._server.is_running():  # noqa: SLF001
                continue
            calm = now() - self._tried_s > _CALM_S
            self._pause_s = _LOOK_EVERY_S if calm else min(2 * self._pause_s, _MOST_PAUSE_S)
            await asyncio.sleep(self._pause_s)
            self._tried_s = now()
            await self._renew()

    async def _renew(self) -> None:
        try:
            server = self._made()
        except StartError as error:  # another program has taken the port: look again
            if not self._refused:
                LOGGER.error("gRPC has ended and cannot be started again: %s", error.detail)
            self._refused = True
            return
        self._refused = False
        ended, self._server = self._server, server
        task = start(ended.stop(self._longest_s), "answering what gRPC had accepted")
        self._ended[task] = ended
        task.add_done_callback(self._ended.pop)
        await server.start()
        LOGGER.warning("gRPC had ended, and was started again")
        if len(self._ended) > _MOST_ENDED:
            await next(iter(self._ended.values())).stop(None)
