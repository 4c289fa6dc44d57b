"""HTTP/1.1 on a connection: bounded heads, problem+json for malformed HTTP, whole requests."""

import asyncio
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from serving.errors import MalformedRequest
from serving.observability.request_log import request_id
from serving.protocols.native import CLASSIFY_PATH
from serving.protocols.problem import problem_response
from serving.server.app import App
from serving.server.direct import Response

_MAX_HEAD_BYTES = 65_536
_MAX_HEAD_S = 10
_LAST_REQUEST_S = 0.25


class HttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 with a bounded head, problem+json refusals and a graceful close."""

    _head: dict[str, Any] | None = None
    """The scope of the request whose head has begun and is not complete."""
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of the first request's head."""
        super().connection_made(transport)
        self._limit_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer, and notify the request in progress."""
        self._end_head_timer()
        # Not `self.scope`: the next request's head may have begun.
        if self.cycle and (tell := self.cycle.scope["state"].get("on_disconnect")):
            tell()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and refuse a head that is too large or does not come in time."""
        cycle: RequestResponseCycle | None = self.cycle
        super().data_received(data)
        # uvicorn makes a scope when a head begins, and adds the method when it is complete.
        scope: dict[str, Any] | None = self.scope  # type: ignore[assignment]
        if scope is not None and "method" in scope:
            self._head = None
            if self.cycle is not cycle:
                if self._head_timer:
                    self._end_head_timer()
            elif self.cycle.response_complete and self._head_timer is None:
                # What came was no head, and ended uvicorn's timer; more of it changes nothing.
                self._head_timer = self.loop.call_later(_MAX_HEAD_S, self.transport.close)
            return
        if scope is not self._head:
            self._head = scope
            self._head_bytes = 0
            if self.cycle:
                # The rest of what came is another request's, up to one read.
                self._end_head_timer()
                data = b""
        self._head_bytes += len(data)
        if self._head_bytes > _MAX_HEAD_BYTES:
            self.send_400_response(f"The head exceeds {_MAX_HEAD_BYTES} bytes.")
        elif self._head_timer is None:
            self._limit_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of a head; one behind a chunked body is not the head's, and is dropped."""
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        if "method" in scope:
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def send_400_response(self, msg: str) -> None:
        """Answer malformed HTTP with 400, and close the connection."""
        if self.transport.is_closing():
            return
        error = MalformedRequest(f"{msg} Send HTTP/1.1.", field="request line or headers")
        head, content = problem_response(error, request_id({}))
        for name, value in self.server_state.default_headers:
            head += b"%b: %b\r\n" % (name, value)
        self.transport.write(head + b"connection: close\r\n\r\n" + content)
        self.transport.close()

    def shutdown(self) -> None:
        """Close after a grace period, since a request may be on its way on an idle connection.

        uvicorn would close at once and reset the connection under a request that the kernel has
        already accepted. Requests in the grace period are answered with `Connection: close`.
        """
        self.loop.call_later(_LAST_REQUEST_S, super().shutdown)

    def _end_head_timer(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None

    def _limit_head(self) -> None:
        self._head_timer = self.loop.call_later(
            _MAX_HEAD_S, self.send_400_response, f"The head did not come in {_MAX_HEAD_S} s."
        )


class InferenceProtocol(HttpProtocol):
    """HTTP/1.1 in front of App, whose `direct` answers what has arrived whole."""

    _parsing = False
    _incomplete: tuple[RequestResponseCycle, ASGI3Application] | None = None
    """A request for `direct`, should the rest of it be in what is being parsed."""
    _task: asyncio.Task[None] | None = None
    """The request that `direct` is answering."""

    def data_received(self, data: bytes) -> None:
        """Parse; give to the application what has not arrived whole."""
        self._parsing = True
        super().data_received(data)
        self._parsing = False
        if self._incomplete:
            super()._start_asgi_task(*self._incomplete)
            self._incomplete = None

    def on_message_complete(self) -> None:
        """Answer a request that has arrived whole."""
        super().on_message_complete()
        if self._incomplete:
            cycle, _ = self._incomplete
            self._incomplete = None
            self._answer(cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the request in progress."""
        super().connection_lost(exc)
        if self._task:
            self._task.cancel()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Refuse a request beyond the limits immediately; see that the others are answered."""
        own: App = self.config.app  # type: ignore[assignment]
        scope = cycle.scope
        if scope["path"] != CLASSIFY_PATH or scope["method"] != "POST":
            super()._start_asgi_task(cycle, app)
            return
        # A client that gets a final response instead of `100 Continue` need not send its body.
        closing = own.service.draining or self.expect_100_continue or not cycle.keep_alive
        # One that waited behind another gets a task: refusals of refusals would nest without end.
        # So does that of a client that does not read: it waits there.
        if self._parsing and not self.flow.write_paused and not own.service.has_room:
            self._send(cycle, own.direct.refusal(cycle.scope), closing=closing)
        elif not cycle.more_body:
            self._answer(cycle)
        elif self._parsing:
            self._incomplete = (cycle, app)
        else:
            super()._start_asgi_task(cycle, app)

    def _answer(self, cycle: RequestResponseCycle) -> None:
        if self.flow.read_paused and not self.pipeline:
            # uvicorn pauses at a large body; only who reads sees the client leave.
            self.flow.resume_reading()
        self._task = self.loop.create_task(self._respond(cycle))
        self.tasks.add(self._task)
        self._task.add_done_callback(self.tasks.discard)

    async def _respond(self, cycle: RequestResponseCycle) -> None:
        own: App = self.config.app  # type: ignore[assignment]
        try:
            response = await own.direct.respond(cycle.scope, bytes(cycle.body))
            if self.flow.write_paused:
                await self.flow.drain()
        finally:
            self._task = None
        if not cycle.disconnected:
            closing = own.service.draining or not cycle.keep_alive
            self._send(cycle, response, closing=closing)

    def _send(self, cycle: RequestResponseCycle, response: Response, *, closing: bool) -> None:
        """Send a whole response, and go on to the next request."""
        cycle.response_complete = True
        head, content = response
        for name, value in self.server_state.default_headers:
            head += b"%b: %b\r\n" % (name, value)
        end = b"connection: close\r\n\r\n" if closing else b"\r\n"
        self.transport.write(head + end + content)
        if closing:
            self.transport.close()
        self.on_response_complete()
