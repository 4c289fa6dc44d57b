"""Start, replace and stop the HTTP processes in front of the engine process."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from serving.inference.engine_selection import ENGINES, EngineName, MakeEngine
from serving.interrupts import ending_signals
from serving.logs import log
from serving.runtime.background import keep_running, start, unending
from serving.runtime.ipc import Channel
from serving.runtime.local import LocalRuntime
from serving.runtime.reconciler import Reconciler
from serving.runtime.remote_recorder import RemoteRecorders
from serving.runtime.runtime_server import RuntimeServer
from serving.runtime.watch import watch_engines, watch_lag
from serving.server.garbage import set_loaded_aside
from serving.server.http_server import admin_server
from serving.server.listener import open_listener, refuse_new_connections
from serving.settings import Settings

_PAUSE_S = 1.0
# For the backlog and for the interpreter to exit, beside the drain.
_EXIT_S = 7.0


async def serve(
    settings: Settings,
    on_ready: Callable[[], None],
    engines: Mapping[EngineName, MakeEngine] = ENGINES,
) -> None:
    """Run the engines in this process and HTTP in `settings.http_processes` others.

    An HTTP process that ends is replaced; the requests of one that dies are lost. On a signal every
    process drains. Raises StartError or EngineFailed if the engines cannot start or have died.
    """
    runtime = LocalRuntime(settings, engines)
    reconciler = Reconciler(settings, runtime)
    listener = open_listener(settings.host, settings.port)
    admin = admin_server(settings, reconciler, runtime) if settings.admin_port else None
    shutdown = _Shutdown(listener)
    for each in ending_signals():
        asyncio.get_running_loop().add_signal_handler(each, shutdown.on_signal)
    recorders = RemoteRecorders(runtime.recorder)
    keep = partial(_keep_frontend, settings, runtime, recorders, shutdown)
    frontends = [
        start(keep_running(keep, "keeping an HTTP process"), "keeping an HTTP process")
        for _ in range(settings.http_processes)
    ]
    beside = {
        "watching the engines": watch_engines(runtime),
        "watching the event loop": watch_lag(runtime.recorder, "engine"),
    }
    if admin:
        beside["the admin API"] = admin.run_beside()
    tasks = {start(unending(work, what), what) for what, work in beside.items()}
    try:
        await _until(shutdown.draining, reconciler, on_ready, tasks)
        await shutdown.begin(settings.shutdown_delay_ms / 1e3)
    finally:
        shutdown.stop()
        await asyncio.gather(*frontends)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        runtime.close()


class _Shutdown:
    """The end of all HTTP processes, which share the listener: they drain, then they stop.

    A process that ends alone touches nothing that is shared. Only here new connections are refused,
    once every process has become unready and before any of them stops to accept.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.draining = asyncio.Event()
        self.stopping = asyncio.Event()
        self._hurry = asyncio.Event()

    def on_signal(self) -> None:
        """Begin; a second signal skips the delay."""
        if self.draining.is_set():
            self._hurry.set()
        self.draining.set()

    async def begin(self, delay_s: float) -> None:
        """Let the processes answer for a while, each response with `Connection: close`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), delay_s)

    def stop(self) -> None:
        """Let no more connections into the backlog, and the processes accept what it holds."""
        refuse_new_connections(self.listener)
        self.draining.set()
        self.stopping.set()
        self.listener.close()


async def _until(
    draining: asyncio.Event,
    reconciler: Reconciler,
    on_ready: Callable[[], None],
    beside: set[asyncio.Task[None]],
) -> None:
    """Load the models, report readiness, and return when asked to stop.

    Raises what loading raises, or a task of `beside`, none of which ends by itself.
    """
    loading = asyncio.create_task(reconciler.load())
    drain_wait = asyncio.create_task(draining.wait())
    await asyncio.wait((loading, drain_wait, *beside), return_when=asyncio.FIRST_COMPLETED)
    if loading.done():
        loading.result()
        set_loaded_aside()
        announcing = start(_say_ready(reconciler, on_ready), "saying that the server is ready")
        work = unending(reconciler.watch(), "watching the registries")
        watching = start(work, "watching the registries")
        await asyncio.wait((watching, drain_wait, *beside), return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()
        watching.cancel()
        announcing.cancel()
    loading.cancel()
    for task in beside:
        if task.done():
            task.result()


async def _say_ready(reconciler: Reconciler, on_ready: Callable[[], None]) -> None:
    await reconciler.complete.wait()
    on_ready()


async def _keep_frontend(
    settings: Settings,
    runtime: LocalRuntime,
    recorders: RemoteRecorders,
    shutdown: _Shutdown,
) -> None:
    """Run one HTTP process after another until the server stops."""
    while not shutdown.draining.is_set():
        status = await _run_frontend(settings, runtime, recorders, shutdown)
        if not shutdown.draining.is_set():
            log("an HTTP process has ended and is replaced", status=status)
            with suppress(TimeoutError):
                await asyncio.wait_for(shutdown.draining.wait(), _PAUSE_S)


async def _run_frontend(
    settings: Settings,
    runtime: LocalRuntime,
    recorders: RemoteRecorders,
    shutdown: _Shutdown,
) -> int | None:
    """Run one HTTP process to its end, and return its exit status."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = await _started(shutdown.listener, theirs)
    answering = None
    ended = asyncio.create_task(process.wait())
    try:
        server = RuntimeServer(await Channel.over(ours), runtime, recorders)
        answering = start(server.serve(), "answering an HTTP process")
        for event, tell in ((shutdown.draining, server.drain), (shutdown.stopping, server.stop)):
            waiting = asyncio.create_task(event.wait())
            await asyncio.wait((ended, waiting), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if not ended.done():
                tell()
        await asyncio.wait((ended,), timeout=settings.drain_ms / 1e3 + _EXIT_S)
    finally:
        if not ended.done():
            process.kill()
            await ended
    await answering
    return process.returncode


async def _started(listener: socket.socket, channel: socket.socket) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "serving.server.frontend",
        str(listener.fileno()), str(channel.fileno()),
        # This process's modules, not those that lie in the working folder.
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        pass_fds=(listener.fileno(), channel.fileno()),
        start_new_session=True,  # a terminal's interrupt must reach only this process
    )  # fmt: skip
