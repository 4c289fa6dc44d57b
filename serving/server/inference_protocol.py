"""The protocol of the inference port: answers requests that have arrived whole without ASGI."""

import asyncio
from functools import partial

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from serving.logs import LOGGER
from serving.protocols.native import CLASSIFY_PATH
from serving.server.app import App
from serving.server.direct import Response
from serving.server.http_protocol import HttpProtocol


class InferenceProtocol(HttpProtocol):
    """HTTP/1.1 in front of App, whose `direct` answers what has arrived whole."""

    _incomplete: tuple[RequestResponseCycle, ASGI3Application] | None = None
    """A request for `direct`, should the rest of it be in what is being parsed."""
    _task: asyncio.Task[None] | None = None
    """The request that `direct` is answering."""

    def data_received(self, data: bytes) -> None:
        """Parse; give to the application what has not arrived whole."""
        super().data_received(data)
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
        if self._parsing and not own.service.has_room:
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
        own: App = self.config.app  # type: ignore[assignment]
        # An idle connection keeps its last cycle, and would keep what was sent.
        body, cycle.body = bytes(cycle.body), bytearray()
        response = own.direct.respond(cycle.scope, body, partial(self._end, cycle))
        self._task = self.loop.create_task(response)
        self.tasks.add(self._task)
        self._task.add_done_callback(self.tasks.discard)

    def _end(self, cycle: RequestResponseCycle, response: Response) -> None:
        self._task = None
        if cycle.disconnected or self.transport.is_closing():
            return
        own: App = self.config.app  # type: ignore[assignment]
        try:
            self._send(cycle, response, closing=own.service.draining or not cycle.keep_alive)
        except Exception:  # noqa: BLE001  logged; the client must not wait for ever
            LOGGER.exception("bug")
            self.transport.abort()

    def _send(self, cycle: RequestResponseCycle, response: Response, *, closing: bool) -> None:
        """Send a whole response, and go on to the next request."""
        cycle.response_complete = True
        head, content = response
        for name, value in self.server_state.default_headers:
            head += b"%b: %b\r\n" % (name, value)
        end = b"connection: close\r\n\r\n" if closing else self._kept
        self.transport.write(head + end + content)
        if closing:
            self.transport.close()
        self.on_response_complete()
