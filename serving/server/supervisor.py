"""Start, replace and stop the HTTP processes in front of the engine process."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping

from serving.errors import EngineFailed
from serving.inference.engine_selection import ENGINES, EngineName, MakeEngine
from serving.logs import log
from serving.runtime.ipc import Channel
from serving.runtime.local import LocalRuntime
from serving.runtime.reconciler import Reconciler
from serving.runtime.remote_recorder import RemoteRecorders
from serving.runtime.runtime_server import RuntimeServer
from serving.server.garbage import set_loaded_aside
from serving.server.http_server import admin_server
from serving.server.listener import open_listener
from serving.settings import Settings

_PAUSE_S = 1.0
_ALIVE_EVERY_S = 0.25
# For the interpreter to exit, after the delay and the drain.
_EXIT_S = 5.0


async def serve(
    settings: Settings,
    on_ready: Callable[[], None],
    engines: Mapping[EngineName, MakeEngine] = ENGINES,
) -> None:
    """Run the engines in this process and HTTP in `settings.http_processes` others.

    An HTTP process that dies is replaced; its requests are lost. On a signal every process drains.
    Raises StartError or EngineFailed if the engines cannot start or have died.
    """
    runtime = LocalRuntime(settings, engines)
    reconciler = Reconciler(settings, runtime)
    listener = open_listener(settings.host, settings.port)
    admin = admin_server(settings, reconciler, runtime) if settings.admin_port else None
    stopping = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stopping.set)
    recorders = RemoteRecorders(runtime.recorder)
    frontends = [
        asyncio.create_task(_keep_frontend(settings, runtime, recorders, listener, stopping))
        for _ in range(settings.http_processes)
    ]
    beside = asyncio.create_task(admin.run_beside()) if admin else None
    try:
        await _until(stopping, runtime, reconciler, on_ready)
    finally:
        stopping.set()
        listener.close()
        await asyncio.gather(*frontends)
        if beside:
            beside.cancel()
            await asyncio.wait((beside,))
        runtime.close()


async def _until(
    stopping: asyncio.Event,
    runtime: LocalRuntime,
    reconciler: Reconciler,
    on_ready: Callable[[], None],
) -> None:
    """Load the models, report readiness, and return when asked to stop. Raises on failure."""
    loading = asyncio.create_task(reconciler.load())
    stop_wait = asyncio.create_task(stopping.wait())
    await asyncio.wait((loading, stop_wait), return_when=asyncio.FIRST_COMPLETED)
    if not loading.done():
        loading.cancel()
        return
    loading.result()
    set_loaded_aside()
    announcing = asyncio.create_task(_say_ready(reconciler, on_ready))
    watching = asyncio.create_task(reconciler.watch())
    while not stop_wait.done():
        if not runtime.alive:
            raise EngineFailed("an engine has died: see the log")
        await asyncio.wait((stop_wait, watching), timeout=_ALIVE_EVERY_S)
        if watching.done():
            watching.result()
    watching.cancel()
    announcing.cancel()


async def _say_ready(reconciler: Reconciler, on_ready: Callable[[], None]) -> None:
    await reconciler.complete.wait()
    on_ready()


async def _keep_frontend(
    settings: Settings,
    runtime: LocalRuntime,
    recorders: RemoteRecorders,
    listener: socket.socket,
    stopping: asyncio.Event,
) -> None:
    """Run one HTTP process after another until the server stops."""
    while not stopping.is_set():
        ours, theirs = socket.socketpair()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "serving.server.frontend",
            str(listener.fileno()), str(theirs.fileno()),
            # This process's modules, not those that lie in the working folder.
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            pass_fds=(listener.fileno(), theirs.fileno()),
            start_new_session=True,  # a terminal's interrupt must reach only this process
        )  # fmt: skip
        theirs.close()
        channel = await Channel.over(ours)
        answering = asyncio.create_task(RuntimeServer(channel, runtime, recorders).serve())
        ended = asyncio.create_task(process.wait())
        stop_wait = asyncio.create_task(stopping.wait())
        await asyncio.wait((ended, stop_wait), return_when=asyncio.FIRST_COMPLETED)
        if stop_wait.done() and not ended.done():
            process.terminate()
            most_s = (settings.shutdown_delay_ms + settings.drain_ms) / 1e3 + _EXIT_S
            await asyncio.wait((ended,), timeout=most_s)
            if not ended.done():
                process.kill()
                await ended
        else:
            log("an HTTP process has ended and is replaced", status=process.returncode)
            await asyncio.wait((stop_wait,), timeout=_PAUSE_S)
        stop_wait.cancel()
        await answering
