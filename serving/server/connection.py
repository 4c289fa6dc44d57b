"""The life of a connection: how long it is kept, and how it is closed without losing a request."""

import asyncio
import resource
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.server.http_cycle import Cycle
from serving.server.lingering import LingeringTransport, Remainder, Unread, unread_bytes

_LAST_REQUEST_S = 0.25
# A connection outlives what `Keep-Alive` says, so that a client that trusts it never loses a
# request that it sends in the last moment.
_KEEP_ALIVE_MARGIN_S = 1
# Idle connections may take half of the file descriptors; those beyond are kept this long only.
_CROWDED_KEEP_ALIVE_S = 5


class Connection(HttpToolsProtocol):
    """A connection of uvicorn's with a lingering close and a graceful shutdown."""

    cycle: Cycle
    transport: LingeringTransport  # type: ignore[assignment]
    _head: dict[str, Any] | None = None
    """The scope of the request whose head has begun and is not complete."""
    _head_timer: asyncio.TimerHandle | None = None
    _remainder: Remainder | None = None
    """The rest of a request that was answered before it was complete."""
    _unread: Unread | None = None
    """What the client does not read."""
    _malformed: str | None = None
    """Why what follows the requests in progress is not HTTP."""
    _leaving = False
    """The server is shutting down."""
    _kept = b"\r\n"
    """The end of a response's head after which the connection is kept."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Decide how long it is kept when idle."""
        super().connection_made(cast(asyncio.Transport, LingeringTransport(transport)))
        seconds = self.timeout_keep_alive
        if 2 * len(self.connections) > resource.getrlimit(resource.RLIMIT_NOFILE)[0]:
            seconds = min(seconds, _CROWDED_KEEP_ALIVE_S)
        self.timeout_keep_alive = seconds + _KEEP_ALIVE_MARGIN_S
        self._kept = b"connection: keep-alive\r\nkeep-alive: timeout=%d\r\n\r\n" % seconds
        self._kept_headers = (
            (b"connection", b"keep-alive"),
            (b"keep-alive", b"timeout=%d" % seconds),
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers, and notify the request in progress."""
        self._end_head_timer()
        self._end_remainder()
        self.resume_writing()
        self._unset_keepalive_if_required()
        self._notify_disconnect()
        super().connection_lost(exc)

    @property
    def expects_more(self) -> bool:
        """Whether the client may be sending, if the connection is closed now."""
        return bool(self._malformed or self.pipeline or (self.cycle and self.cycle.more_body))

    def pause_writing(self) -> None:
        """Watch whether the client reads."""
        super().pause_writing()
        self.watch_unread()

    def watch_unread(self) -> None:
        """Abort the connection unless the client reads what was written for it."""
        if self._unread is None:
            self._unread = Unread(self.loop, self.transport)

    def resume_writing(self) -> None:
        """Stop watching."""
        super().resume_writing()
        if self._unread:
            self._unread.end()
            self._unread = None

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, unless the kernel has accepted a request on it."""
        if unread_bytes(self.transport):
            self._wait_for_request()
        elif self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """Close after a grace period, since a request may be on its way on an idle connection.

        uvicorn would close at once and reset the connection under a request that the kernel has
        already accepted. Requests in the grace period are answered with `Connection: close`.
        """
        self._leaving = True
        self.loop.call_later(_LAST_REQUEST_S, self._leave)

    def _leave(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        arriving = self._head is not None or unread_bytes(self.transport)
        if idle and arriving and not self.transport.is_closing():
            self.loop.call_later(_LAST_REQUEST_S, self._leave)
        else:
            super().shutdown()

    def _wait_for_request(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _notify_disconnect(self) -> None:
        # Not `self.scope`: the next request's head may have begun.
        if self.cycle and (tell := self.cycle.scope["state"].get("on_disconnect")):
            tell()

    def _end_remainder(self) -> None:
        if self._remainder:
            self._remainder.end()
            self._remainder = None

    def _end_head_timer(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None
