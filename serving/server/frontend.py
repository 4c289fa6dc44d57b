"""One HTTP process, started by supervisor.py as `python -m serving.server.frontend`."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from serving.background import start, start_short_work
from serving.errors import StartError, own_words
from serving.logs import configure_logs, log
from serving.process_exit import end
from serving.runtime.ipc import Channel
from serving.runtime.remote import RemoteRuntime
from serving.runtime.service import Service
from serving.runtime.watch import watch_lag
from serving.server.garbage import collect_seldom
from serving.server.http_server import Server, open_app
from serving.settings import read_settings

_GREETING_S = 1.0
_CURRENT_S = 30.0


async def main(listener: socket.socket, sock: socket.socket) -> int:
    """Serve; return exit status 0 after a drain, 1 after a failure or if the engines are gone."""
    configure_logs(shared=True)
    collect_seldom()
    channel = await Channel.over(sock)
    settings, _ = read_settings(os.environ)
    load_timeout_s = settings.load_timeout_ms / 1e3
    runtime = RemoteRuntime(channel, load_timeout_s=load_timeout_s)
    failures: list[BaseException] = []

    def failed(error: BaseException) -> None:
        log("an HTTP process ends", reason=own_words(error))
        failures.append(error)
        if isinstance(error, StartError):
            channel.send("failed", error.detail)

    try:
        start_short_work()
        service = Service(settings, runtime)
        await _serve(service, runtime, listener, partial(channel.send, "started"), failed)
    except StartError as error:
        failed(error)
        runtime.close()
    await runtime.closed()
    return int(bool(failures))


async def _serve(
    service: Service,
    runtime: RemoteRuntime,
    listener: socket.socket,
    on_started: Callable[[], None],
    on_failed: Callable[[BaseException], None],
) -> None:
    """Serve until the engine process or a signal says stop. Raises StartError."""

    def loaded(error: BaseException | None) -> None:
        if error:
            service.followed.set()
            on_failed(error)
            server.stop()

    async def until_current() -> None:
        """Wait for the models that are served already, so that no request finds none."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_GREETING_S):
                serves = await asyncio.shield(runtime.greeting)
            if serves:
                async with asyncio.timeout(_CURRENT_S):
                    await service.followed.wait()

    def greeted(greeting: asyncio.Future[bool]) -> None:
        service.starting &= not greeting.result()

    runtime.greeting.add_done_callback(greeted)
    lag = partial(watch_lag, runtime.recorder, "http")
    app = open_app(service, loaded, [lag], until_current)
    server = Server(app, service.settings, listener, shared=True)

    async def tell_start() -> None:
        await server.accepting.wait()
        on_started()

    async def end_together() -> None:
        await runtime.draining.wait()
        server.drain()
        await runtime.stopping.wait()
        server.stop()

    tasks = [
        start(tell_start(), "telling the start"),
        start(end_together(), "ending with the other processes"),
    ]
    await server.serve(sockets=[listener])
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    import uvloop

    sockets = [socket.socket(fileno=int(number)) for number in sys.argv[1:]]
    end(uvloop.run(main(*sockets)))
