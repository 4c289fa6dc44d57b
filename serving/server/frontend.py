"""One HTTP process, started by supervisor.py as `python -m serving.server.frontend`."""

import asyncio
import os
import socket
import sys

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from serving.logs import configure_logs
from serving.runtime.ipc import Channel
from serving.runtime.remote import RemoteRuntime
from serving.runtime.service import Service
from serving.server.http_server import Server, open_app
from serving.settings import read_settings


async def main(listener: socket.socket, channel: socket.socket) -> int:
    """Serve; return exit status 0 after a drain, 1 if the engine process is gone."""
    configure_logs()
    settings, _ = read_settings(os.environ)
    load_timeout_s = settings.load_timeout_ms / 1e3
    runtime = RemoteRuntime(await Channel.over(channel), load_timeout_s=load_timeout_s)
    service = Service(settings, runtime)
    server = Server(open_app(service, on_loaded=lambda _error: None), settings, listener)

    async def leave() -> None:
        await runtime.gone.wait()
        server.should_exit = True

    leaving = asyncio.create_task(leave())
    await server.serve(sockets=[listener])
    leaving.cancel()
    await runtime.closed()
    return int(runtime.gone.is_set())


if __name__ == "__main__":
    import uvloop

    sockets = [socket.socket(fileno=int(number)) for number in sys.argv[1:]]
    sys.exit(uvloop.run(main(*sockets)))
