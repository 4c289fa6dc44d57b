"""The life of a connection: how long it is kept, and how it is closed without losing a request."""

import asyncio
from functools import partial
from typing import Any, cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from serving.errors import CapacityError, Overloaded, RateLimited
from serving.observability.recorder import RefusalReason
from serving.server.connection_limits import LimitedConnections, Waiting
from serving.server.half_close import HalfClosed
from serving.server.http_cycle import Cycle, last_response
from serving.server.idle import Idle
from serving.server.lingering import LingeringTransport, Remainder, unread_bytes
from serving.server.pipelined import Flow
from serving.server.slow_readers import Reader

_LAST_REQUEST_S = 0.25
# A connection outlives what `Keep-Alive` says, so that a client that trusts it never loses a
# request that it sends in the last moment.
_KEEP_ALIVE_MARGIN_S = 1
# Idle connections may take half of the places; those beyond are kept this long only.
_CROWDED_KEEP_ALIVE_S = 5
MAX_HEAD_S = 10
# What has been waited for so long is not a request on its way.
_SLOW_S = 1.0
_RETRY_AFTER_S = 1
_PROBES = ("/health/", "/v2/health/")
_CUT = "The request ended before it was complete."


class Connection(HttpToolsProtocol):
    """A connection of uvicorn's with a lingering close and a graceful shutdown."""

    cycle: Cycle
    """The newest request; those before it may not be answered yet."""
    answering: Cycle | None = None
    """The request that was begun last."""
    transport: LingeringTransport  # type: ignore[assignment]
    flow: Flow
    server_state: LimitedConnections
    _head: dict[str, Any] | None = None
    """The scope of the request whose head has begun and is not complete."""
    _head_timer: asyncio.TimerHandle | None = None
    _remainder: Remainder | None = None
    """The rest of a request that was answered before it was complete."""
    _reader: Reader | None = None
    """The client, if it has been waited for to read."""
    _malformed: str | None = None
    """Why what follows the requests in progress is not HTTP."""
    _leaving = False
    """The server is shutting down."""
    _counted = False
    """Whether it counts among those of its address; one that is refused does not."""
    _ended = False
    """The client sends nothing more."""
    _half_closed: HalfClosed | None = None
    _body_since = 0.0
    """When the request in progress began to send its body."""
    _kept = b"\r\n"
    """The end of a response's head after which the connection is kept."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Decide how long it is kept when idle."""
        super().connection_made(cast(asyncio.Transport, LingeringTransport(transport)))
        self.flow = Flow(self.transport, self.pipeline)  # type: ignore[arg-type]
        seconds = self.timeout_keep_alive
        if self.server_state.crowded:
            seconds = min(seconds, _CROWDED_KEEP_ALIVE_S)
        self._idle = Idle(self.loop, seconds + _KEEP_ALIVE_MARGIN_S, self._end_idle)
        self._kept = b"connection: keep-alive\r\nkeep-alive: timeout=%d\r\n\r\n" % seconds
        self._kept_headers = (
            (b"connection", b"keep-alive"),
            (b"keep-alive", b"timeout=%d" % seconds),
        )
        self._counted = self.server_state.enter(self.client)
        if not self._counted:
            self._refuse_connection(
                "too_many_from_address",
                RateLimited(
                    "your address has too many connections: close some, or share them",
                    field="connection",
                    retry_after_s=_RETRY_AFTER_S,
                ),
            )
        elif not self.server_state.make_room(self):
            self._refuse_connection(
                "too_many",
                Overloaded(
                    "the server has too many connections; retry after the Retry-After delay",
                    field="connection",
                    retry_after_s=_RETRY_AFTER_S,
                ),
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers, and notify the request in progress."""
        self._end_head_timer()
        self._end_remainder()
        if self._half_closed:
            self._half_closed.end()
            self._half_closed = None
        if self._counted:
            self.server_state.leave(self.client)
        if self._reader:
            self._reader.end()
            self._reader = None
        self._idle.end()
        self._notify_disconnect()
        super().connection_lost(exc)
        # All of these refer to this connection, which would need the garbage collector to go.
        self.cycle = self.answering = None  # type: ignore[assignment]
        self.pipeline.clear()
        self.flow.parse_on = None

    @property
    def expects_more(self) -> bool:
        """Whether the client may be sending, if the connection is closed now."""
        if self._ended:
            return False
        return bool(self._malformed or self.pipeline or (self.cycle and self.cycle.more_body))

    @property
    def waits_since(self) -> Waiting | None:
        """See `connection_limits`: what was waited for in vain goes first, then the idle ones."""
        cycle = self.cycle
        if self.transport.is_closing() and not self.transport.get_write_buffer_size():
            return False, 0.0
        if self._reader and self._reader.since is not None:
            since = self._reader.since
        elif cycle and not cycle.response_complete:
            if not cycle.more_body or self.pipeline:
                return None
            since = self._body_since
        elif self._remainder:
            since = self._remainder.since
        elif self._head_timer:
            since = self._head_timer.when() - MAX_HEAD_S
        elif self._idle.since is not None:
            # Its client is known to ask, so it may be idle for longer than one that never did.
            return True, self._idle.since + _SLOW_S
        else:
            return None
        return self.loop.time() - since < _SLOW_S, since

    def give_up(self) -> bool:
        """Abort, unless the kernel has accepted a request."""
        if self._idle.since is not None and self._is_sending():
            return False
        self.connections.discard(self)
        self._end_early("displaced")
        return True

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer the requests that have arrived whole, then close."""
        if self._ended:
            return True
        self._ended = True
        cycle = self.cycle
        answering = cycle and not cycle.response_complete and (self.pipeline or not cycle.more_body)
        if not answering:
            self.transport.close()
            return True
        self._half_closed = HalfClosed(self.loop, self.transport, self._may_continue)
        if cycle.more_body or self._head is not None:
            self._malformed = self._malformed or _CUT
        elif not self._malformed:
            cycle.keep_alive = False
        return True

    def _is_sending(self) -> bool:
        """Whether something has arrived that is not parsed."""
        return bool(self.flow.parse_on or unread_bytes(self.transport))

    def _may_continue(self) -> bool:
        """Whether `100 Continue` may be sent now: to HTTP/1.1, before the response has begun."""
        cycle = self.answering
        return bool(cycle and cycle.scope["http_version"] == "1.1" and not cycle.response_started)

    def pause_writing(self) -> None:
        """Watch whether the client reads."""
        super().pause_writing()
        self.watch_reader()

    def watch_reader(self) -> None:
        """Abort the connection unless the client reads what was written for it."""
        if self._reader:
            self._reader.pause()
        else:
            self._reader = Reader(
                self.loop, self.transport, self.server_state.readers, self._end_reader
            )

    def resume_writing(self) -> None:
        """Go on writing."""
        super().resume_writing()
        if self._reader:
            self._reader.resume()

    def _end_idle(self) -> None:
        """Close an idle connection, unless the kernel has accepted a request on it.

        A client that has not read its answer yet is bounded as a reader, not as idle.
        """
        if self.transport.get_write_buffer_size():
            self.watch_reader()
        if self._reader or self._is_sending():
            self._idle.begin()
        else:
            self.transport.close()

    def end_lingering(self) -> None:
        """End a connection that was closed, whose client goes on sending or holds it open."""
        self._end_early("lingering")

    def shutdown(self) -> None:
        """Close after a grace period, since a request may be on its way on an idle connection.

        uvicorn would close at once and reset the connection under a request that the kernel has
        already accepted. Requests in the grace period are answered with `Connection: close`.
        It is longer for a new connection that has not asked yet: it was made in order to ask.
        """
        self._leaving = True
        grace_s = _LAST_REQUEST_S
        if self._head_timer and not self.cycle:
            age_s = self.loop.time() - (self._head_timer.when() - MAX_HEAD_S)
            grace_s = max(grace_s, self.server_state.first_request_s - age_s)
        self.loop.call_later(grace_s, self._leave)

    def _leave(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        arriving = self._head is not None or self._is_sending()
        if idle and arriving and not self.transport.is_closing():
            self.loop.call_later(_LAST_REQUEST_S, self._leave)
        else:
            super().shutdown()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Begin when it is its turn, or at once if a probe has sent nothing else."""
        cycle.message_event = asyncio.Event()
        if cycle.body or not cycle.more_body:
            cycle.message_event.set()
        if cycle.more_body:
            self._body_since = self.loop.time()
        begin = partial(super()._start_asgi_task, cycle, app)
        if cycle.scope["path"].startswith(_PROBES) and not self.flow.read_paused:
            begin()
        else:
            self.server_state.turns.begin(begin)

    def _end_early(self, reason: RefusalReason) -> None:
        """Abort, and count that."""
        self.server_state.refused.count(reason)
        self.transport.abort()

    def _end_slow_head(self) -> None:
        self.server_state.refused.count("slow_head")
        self.transport.close()

    def _end_slow_body(self) -> None:
        self._end_early("slow_body")

    def _end_reader(self, too_slow: bool) -> None:
        self._reader = None
        if too_slow:
            self._end_early("slow_reader")

    def _refuse_connection(self, reason: RefusalReason, error: CapacityError) -> None:
        """Answer what the client will ask, if there is room to wait until it has read that."""
        self.server_state.refused.count(reason)
        if self.server_state.overfull:
            self.connections.discard(self)
            self.transport.abort()
            return
        self._malformed = error.detail
        self.transport.write(last_response(error, self.server_state.default_headers))
        self.transport.close()

    def _notify_disconnect(self) -> None:
        """Tell the request in progress that its client has left."""
        cycle = self.answering
        if cycle and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if tell := cycle.scope["state"].get("on_disconnect"):
                tell()

    def _end_remainder(self) -> None:
        if self._remainder:
            self._remainder.end()
            self._remainder = None

    def _end_head_timer(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None
