"""Start, replace and stop the HTTP processes in front of the engine process."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from serving.background import FAILURES, keep_running, start, unending
from serving.errors import StartError
from serving.inference.engine import EngineName
from serving.inference.engine_selection import ENGINES, MakeEngine
from serving.interrupts import ending_signals
from serving.logs import log
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

_HTTP_STARTS = "the HTTP processes are being started: retry after the Retry-After delay"
_PAUSE_S, _MOST_PAUSE_S = 1.0, 30.0
EXIT_S = 10
"""How long a process may take beyond the delay and the drain: for the backlog, the last spans and
log lines, and the interpreter to exit. The chart leaves the pod as much."""


async def serve(
    settings: Settings,
    on_ready: Callable[[Reconciler], None],
    engines: Mapping[EngineName, MakeEngine] = ENGINES,
) -> None:
    """Run the engines in this process and HTTP in `settings.http_processes` others.

    An HTTP process that ends, or hangs, is replaced; the requests of one that dies are lost. On a
    signal every process drains. Raises StartError if the engines or the HTTP processes cannot
    start, and EngineFailed if an engine is lost.
    """
    runtime = LocalRuntime(settings, engines)
    runtime.held_up = _HTTP_STARTS
    reconciler = Reconciler(settings, runtime)
    listener = open_listener(settings.host, settings.port)
    admin = admin_server(settings, reconciler, runtime) if settings.admin_port else None
    shutdown = _Shutdown(listener)
    for each in ending_signals():
        asyncio.get_running_loop().add_signal_handler(each, shutdown.on_signal)
    recorders = RemoteRecorders(runtime.recorder)
    keepers = [
        _Frontend(settings, runtime, recorders, shutdown) for _ in range(settings.http_processes)
    ]
    what = "keeping an HTTP process"
    frontends = [start(keep_running(each.keep, what), what) for each in keepers]
    beside = {
        "watching the engines": watch_engines(runtime),
        "watching the event loop": watch_lag(runtime.recorder, "engine"),
        "starting the HTTP processes": shutdown.until_failed(),
    }
    if admin:
        beside["the admin API"] = admin.run_beside(shutdown.stopping)
    tasks = {start(unending(work, what), what) for what, work in beside.items()}
    try:
        say_ready = partial(_say_ready, runtime, reconciler, keepers, on_ready)
        await _until(shutdown.draining, reconciler, say_ready, tasks)
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
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_signal(self) -> None:
        """Begin; a second signal skips the delay."""
        if self.draining.is_set():
            self._hurry.set()
        self.draining.set()

    def fail(self, reason: str) -> None:
        """End because an HTTP process cannot start."""
        if not self._failed.done():
            self._failed.set_exception(StartError(reason))

    async def until_failed(self) -> None:
        """Wait until an HTTP process cannot start. Raises StartError."""
        await self._failed

    async def begin(self, delay_s: float) -> None:
        """Let the processes answer for a while, each response with `Connection: close`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._hurry.wait()

    def stop(self) -> None:
        """Let no more connections into the backlog, and the processes accept what it holds."""
        refuse_new_connections(self.listener)
        self.draining.set()
        self.stopping.set()
        self.listener.close()


async def _until(
    draining: asyncio.Event,
    reconciler: Reconciler,
    say_ready: Callable[[], Coroutine[Any, Any, None]],
    beside: set[asyncio.Task[None]],
) -> None:
    """Load the models, `say_ready`, and return when asked to stop.

    Raises what loading raises, or a task of `beside`, none of which ends by itself.
    """
    loading = asyncio.create_task(reconciler.load())
    drain_wait = asyncio.create_task(draining.wait())
    await asyncio.wait((loading, drain_wait, *beside), return_when=asyncio.FIRST_COMPLETED)
    if loading.done():
        loading.result()
        set_loaded_aside()
        announcing = start(say_ready(), "saying that the server is ready")
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


async def _say_ready(
    runtime: LocalRuntime,
    reconciler: Reconciler,
    frontends: Sequence["_Frontend"],
    on_ready: Callable[[Reconciler], None],
) -> None:
    """Be ready once every HTTP process can answer: a request may meet any of them."""
    for each in frontends:
        await each.accepting.wait()
        await each.following.wait()
    runtime.held_up = ""
    await reconciler.complete.wait()
    on_ready(reconciler)


class _Frontend:
    """One HTTP process after another, until the server stops."""

    def __init__(
        self,
        settings: Settings,
        runtime: LocalRuntime,
        recorders: RemoteRecorders,
        shutdown: _Shutdown,
    ) -> None:
        self._settings = settings
        self._runtime = runtime
        self._recorders = recorders
        self._shutdown = shutdown
        self._is_first = True
        self._pause_s = _PAUSE_S
        self.accepting = asyncio.Event()
        """Set once the first one that can start accepts connections."""
        self.following = asyncio.Event()
        """Set once it has taken up the models that are loaded."""

    async def keep(self) -> None:
        """Replace each process that ends; one that cannot start waits longer each time.

        If the first one cannot start, the server cannot.
        """
        draining = self._shutdown.draining
        while not draining.is_set():
            status, started, reason = await self._run()
            if draining.is_set():
                return
            if reason and self._is_first:
                self._shutdown.fail(reason)
                return
            self._is_first = False
            if status:
                FAILURES.count()
            if reason or not started:
                self._pause_s = min(2 * self._pause_s, _MOST_PAUSE_S)
            else:
                self._pause_s = _PAUSE_S
            if reason:
                log("an HTTP process cannot start", reason=reason, retry_s=self._pause_s)
            else:
                log("an HTTP process has ended and is replaced", status=status)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s):
                    await draining.wait()

    async def _run(self) -> tuple[int | None, bool, str]:
        """Run one process to its end.

        Return its exit status, whether it had started, and why it could not, as far as that is
        known: one that was killed might have.
        """
        shutdown = self._shutdown
        ours, theirs = socket.socketpair()
        with theirs:
            process = await _started(shutdown.listener, theirs)
        answering = None
        ended = asyncio.create_task(process.wait())
        try:
            channel = await Channel.over(ours)
            server = RuntimeServer(
                channel,
                self._runtime,
                self._recorders,
                on_started=self.accepting.set,
                on_following=self.following.set,
                on_hung=partial(_kill, process),
            )
            answering = start(server.serve(), "answering an HTTP process")
            for event, tell in (
                (shutdown.draining, server.drain),
                (shutdown.stopping, server.stop),
            ):
                waiting = asyncio.create_task(event.wait())
                await asyncio.wait((ended, waiting), return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if not ended.done():
                    tell()
            await asyncio.wait((ended,), timeout=self._settings.drain_ms / 1e3 + EXIT_S)
        finally:
            if not ended.done():
                process.kill()
                await ended
        await answering
        status = process.returncode
        reason = server.failure
        if not reason and not server.started and status and status > 0:
            reason = f"an HTTP process ended with status {status} at its start: see the log"
        return status, server.started, reason


def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()


async def _started(listener: socket.socket, channel: socket.socket) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "serving.server.frontend",
        str(listener.fileno()), str(channel.fileno()),
        # This process's modules, not those that lie in the working folder.
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        pass_fds=(listener.fileno(), channel.fileno()),
        start_new_session=True,  # a terminal's interrupt must reach only this process
    )  # fmt: skip
