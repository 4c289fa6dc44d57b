"""The server in this process, over an engine that computes nothing."""

import asyncio
import json
import os
import socket
import sys
import threading
from collections import Counter
from contextlib import asynccontextmanager, contextmanager, redirect_stdout
from itertools import islice, product
from pathlib import Path

import uvloop

from serving.runtime.local import LocalRuntime
from serving.runtime.reconciler import Reconciler
from serving.runtime.service import Service
from serving.server.app import create_app
from serving.server.http_server import InferenceProtocol, Server
from serving.settings import Settings
from tests.support.null_serving import NullEngine


@asynccontextmanager
async def running(registry, **settings):
    """The application with its models loaded, and one engine thread."""
    chosen = Settings(registry=[registry], engine="onnxruntime", threads=1, **settings)
    runtime = LocalRuntime(chosen, {"onnxruntime": NullEngine})
    app = create_app(Service(chosen, runtime), lambda _error: None)
    loaded = asyncio.Event()
    await Reconciler(chosen, runtime).load()
    following = asyncio.create_task(app.service.follow(loaded.set))
    await loaded.wait()
    yield app
    following.cancel()
    app.service.close()


@contextmanager
def connected(registry):
    """(loop, socket) of a server in a thread of its own, which answers on this connection."""
    ready, ended = threading.Event(), asyncio.Event()
    found = []

    async def main():
        listener = socket.create_server(("127.0.0.1", 0))
        async with running(registry) as app:
            server = Server(app, app.service.settings, listener)
            server.config.load()
            loop = asyncio.get_running_loop()
            accepting = await loop.create_server(
                lambda: InferenceProtocol(server.config, server.server_state, {}), sock=listener
            )
            found.extend((loop, listener.getsockname()))
            ready.set()
            await ended.wait()
            accepting.close()

    thread = threading.Thread(target=lambda: uvloop.run(main()), daemon=True)
    thread.start()
    assert ready.wait(60)
    loop, address = found
    try:
        with socket.create_connection(address, timeout=10) as client:
            yield loop, client
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)


def ask(client, body):
    """Send one request in one piece, and read the answer."""
    content = json.dumps(body).encode()
    head = (
        b"POST /v1/classify HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(content)
    )
    client.sendall(head + content)
    answer = b""
    while not answer.endswith(b"}}"):
        answer += client.recv(1 << 20)
    assert answer.startswith(b"HTTP/1.1 200 "), answer


def calls_of(registry, texts, **options):
    """Python calls in the loop's thread for one warm request of so many new texts.

    `options` are other fields of the request.
    """
    calls, begun, done = Counter(), threading.Event(), threading.Event()

    def profile(frame, event, _argument):
        if event == "call":
            calls[frame.f_code.co_qualname] += 1

    def start():
        begun.set()
        sys.setprofile(profile)

    def stop():
        sys.setprofile(None)
        done.set()

    # A plain file, since pytest's stdout makes Python calls of its own.
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere),
        connected(registry) as (loop, client),
    ):
        words = ("good", "bad", "great", "awful", "film", "plot")
        fresh = map(" ".join, product(words, repeat=4))

        def new():
            return {"texts": list(islice(fresh, texts)), **options}

        for _ in range(3):
            ask(client, new())
        loop.call_soon_threadsafe(start)
        assert begun.wait(10)
        ask(client, new())
        loop.call_soon_threadsafe(stop)
        assert done.wait(10)
    return calls
