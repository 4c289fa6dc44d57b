"""uvicorn with a lossless shutdown."""

import asyncio
import math
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from serving.extras import optional_packages
from serving.interrupts import ending_signals
from serving.logs import log
from serving.observability.recorder import Recorder
from serving.protocols.admin import AdminApp, create_admin
from serving.runtime.local import LocalRuntime
from serving.runtime.reconciler import Reconciler
from serving.runtime.service import Service
from serving.server.app import App, create_app
from serving.server.connection_limits import LimitedConnections
from serving.server.http_protocol import HttpProtocol
from serving.server.inference_protocol import InferenceProtocol
from serving.server.listener import backlog, open_listener, refuse_new_connections, shares
from serving.server.refused_connections import RefusedConnections
from serving.settings import Settings

_BACKLOG_S = 0.1
_MOST_BACKLOG_S = 2.0
# To send what is refused when the drain is over. The chart and the supervisor leave more to exit.
_LAST_ANSWERS_S = 2.0


class _DrainingServer(uvicorn.Server):
    """Refuses the requests that still run when the drain is over; uvicorn would answer with 500."""

    _drain_s: float

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listener and drain."""
        timer = asyncio.get_running_loop().call_later(self._drain_s, self._end_drain)
        await super().shutdown(sockets)
        timer.cancel()

    def _end_drain(self) -> None:
        # A task that has not begun could not answer: after this iteration all of these have.
        running = list(self.server_state.tasks)
        asyncio.get_running_loop().call_soon(self._refuse, running)

    def _refuse(self, running: Sequence[asyncio.Task[None]]) -> None:
        for task in running:
            task.cancel()


class Server(_DrainingServer):
    """On SIGTERM, SIGINT or SIGHUP: become unready, wait, close the listener, drain.

    During the wait requests are still answered, each with `Connection: close`, so that clients and
    load balancers move on before the listener closes. A second signal skips the wait.

    A listener that is `shared` with other processes is left as it is: they accept its backlog.
    """

    def __init__(
        self, app: App, settings: Settings, listener: socket.socket, *, shared: bool = False
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=InferenceProtocol,
                ws="none",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=settings.keep_alive_s,
                timeout_graceful_shutdown=_most_drain_s(settings),
            )
        )
        refused = RefusedConnections(app.service.runtime.recorder, settings.port)
        self.server_state = LimitedConnections(settings, refused)
        self._service = app.service
        self._drain_s = settings.drain_ms / 1e3
        self._listener = listener
        self._shared = shared
        self._last = not shared
        """Nobody else will accept the listener's backlog."""
        self._delay_s = settings.shutdown_delay_ms / 1e3
        self._wait: asyncio.TimerHandle | None = None
        self.accepting = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await super().startup(sockets)
        if self.started:
            self.accepting.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle what ends a server; uvicorn does not know SIGHUP."""
        with super().capture_signals():
            others = set(ending_signals()) - set(HANDLED_SIGNALS)
            before = {each: signal.signal(each, self.handle_exit) for each in others}
            try:
                yield
            finally:
                for each, handler in before.items():
                    signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  uvicorn calls it so
        """Schedule the shutdown; a signal handler may run between any two byte codes."""
        if self._service.draining:
            self.should_exit = True
            return
        self._service.draining = True
        log("draining", signal=sig, delay_s=self._delay_s)
        asyncio.get_running_loop().call_soon_threadsafe(self._begin_wait)

    def _begin_wait(self) -> None:
        if not (self._shared and self._last):
            self._wait = asyncio.get_running_loop().call_later(self._delay_s, self.stop)

    def drain(self) -> None:
        """Become unready until `stop`: every process that shares the listener ends."""
        self._service.draining = True
        self._last = True
        if self._wait:
            self._wait.cancel()

    def stop(self) -> None:
        """Close the listener and drain, soon."""
        self.should_exit = True

    def serve_forever(self) -> None:
        """Serve until a signal or a failure ends it."""
        self.run(sockets=[self._listener])

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve the sockets, and copies of them (see listener.shares)."""
        await super().serve([each for sock in sockets or () for each in shares(sock)])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept the rest of the listener's backlog, then close it and drain."""
        if not self._shared:
            refuse_new_connections(self._listener)
        if self._last:
            await _until_accepted(self._listener)
        self._service.stopping.set()
        await super().shutdown(sockets)

    def _refuse(self, running: Sequence[asyncio.Task[None]]) -> None:
        self._service.out_of_time.update(running)
        super()._refuse(running)


async def _until_accepted(listener: socket.socket) -> None:
    """Wait until the backlog of a listener that gets no new connections is accepted."""
    for _ in range(round(_MOST_BACKLOG_S / _BACKLOG_S)):
        await asyncio.sleep(_BACKLOG_S)
        if not backlog(listener):
            return


class BesideServer(_DrainingServer):
    """A second application on the same event loop; the main server handles signals."""

    def __init__(
        self, app: AdminApp, settings: Settings, recorder: Recorder, listener: socket.socket
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=HttpProtocol,
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=settings.keep_alive_s,
                timeout_graceful_shutdown=_most_drain_s(settings),
            )
        )
        refused = RefusedConnections(recorder, settings.admin_port)
        self.server_state = LimitedConnections(settings, refused, admin=True)
        self._listener = listener
        self._drain_s = settings.drain_ms / 1e3

    async def run_beside(self, stopping: asyncio.Event) -> None:
        """Serve until `stopping`, then answer the requests in progress; return when cancelled."""
        serving = asyncio.create_task(self.serve(sockets=[self._listener]))
        stop = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait((serving, stop), return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                self.should_exit = True
                await asyncio.Event().wait()
        finally:
            stop.cancel()
            self.should_exit = True
            await serving
            self._listener.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept the rest of the listener's backlog, then close it and drain."""
        refuse_new_connections(self._listener)
        await _until_accepted(self._listener)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signal handling to the main server."""
        yield


def _most_drain_s(settings: Settings) -> int:
    return math.ceil(settings.drain_ms / 1e3 + _LAST_ANSWERS_S)


def admin_server(settings: Settings, reconciler: Reconciler, runtime: LocalRuntime) -> BesideServer:
    """Create the server of the admin API. Raises StartError if its port is taken."""
    listener = open_listener(settings.host, settings.admin_port, "SIZEWISE_ADMIN_PORT")
    app = create_admin(settings, reconciler, runtime)
    return BesideServer(app, settings, runtime.recorder, listener)


def open_app(
    service: Service,
    on_loaded: Callable[[BaseException | None], None],
    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    until_current: Callable[[], Awaitable[None]] | None = None,
) -> App:
    """Create the application, with a gRPC server if it has a port. Raises StartError."""
    if not service.settings.grpc_port:
        return create_app(service, on_loaded, beside, until_current)
    with optional_packages("SIZEWISE_GRPC_PORT"):
        # A server without a gRPC port needs no gRPC.
        from serving.protocols.grpc.server import GrpcServer  # noqa: PLC0415

    async def serve_grpc() -> None:
        await GrpcServer(service, app.request_log).run()

    app = create_app(service, on_loaded, [*beside, serve_grpc], until_current)
    return app
