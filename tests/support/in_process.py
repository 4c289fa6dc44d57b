"""The server in this process, over an engine that computes nothing unless another is given."""

import asyncio
import codecs
import json
import socket
import sys
import threading
import time
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from itertools import islice, product

import httpx
import uvloop

from serving.runtime.local import LocalRuntime
from serving.runtime.reconciler import Reconciler
from serving.runtime.service import Service
from serving.server.app import create_app
from serving.server.http_server import Server
from serving.server.inference_protocol import InferenceProtocol
from serving.settings import Settings
from tests.support.null_serving import NullEngine

SETTINGS: dict[str, object] = {}
"""What every server gets unless a test says otherwise."""


@asynccontextmanager
async def running(registry, engine=NullEngine, clock=time.monotonic, **settings):
    """The application with its models loaded, and one engine thread."""
    given = SETTINGS | settings
    chosen = Settings(registry=[registry], engine="onnxruntime", threads=1, **given)
    runtime = LocalRuntime(chosen, {"onnxruntime": engine}, clock)
    app = create_app(Service(chosen, runtime, clock), lambda _error: None)
    loaded = asyncio.Event()
    await Reconciler(chosen, runtime).load()
    following = asyncio.create_task(app.service.follow(loaded.set))
    await loaded.wait()
    yield app
    following.cancel()
    app.service.close()


@asynccontextmanager
async def client_of(registry, **settings):
    """A client of the application, without sockets: what a client reads is not bounded."""
    async with running(registry, **settings) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            yield client


@contextmanager
def connected(registry, engine=NullEngine, **settings):
    """(application, loop, socket) of a server in a thread of its own, with one connection."""
    ready, ended = threading.Event(), asyncio.Event()
    found = []

    async def main():
        listener = socket.create_server(("127.0.0.1", 0))
        async with running(registry, engine, **settings) as app:
            server = Server(app, app.service.settings, listener)
            server.config.load()
            loop = asyncio.get_running_loop()
            accepting = await loop.create_server(
                lambda: InferenceProtocol(server.config, server.server_state, {}), sock=listener
            )
            found.extend((app, loop, listener.getsockname()))
            ready.set()
            await ended.wait()
            accepting.close()

    thread = threading.Thread(target=lambda: uvloop.run(main()), daemon=True)
    thread.start()
    assert ready.wait(60)
    app, loop, address = found
    try:
        with socket.create_connection(address, timeout=10) as client:
            yield app, loop, client
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)


def send(client, texts, key="", **options):
    """Send these texts in one request, in one piece; `options` are its other fields."""
    body = json.dumps({"texts": texts, **options}).encode()
    head = (
        "POST /v1/classify HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
    )
    if key:
        head += f"Authorization: Bearer {key}\r\n"
    client.sendall(f"{head}\r\n".encode() + body)


def read(client):
    """Read the answer."""
    answer = b""
    while not answer.endswith(b"}}"):
        answer += client.recv(1 << 20)
    assert answer.startswith(b"HTTP/1.1 200 "), answer


def ask(client, texts, **options):
    """Send a request and read the answer."""
    send(client, texts, **options)
    read(client)


def calls_of(registry, texts, engine=NullEngine, settings=None, **options):
    """Python calls in the loop's thread for one warm request of so many new texts.

    The fewest of three requests: the loop may do something else during one of them. `settings` are
    the server's; for `options` see `send`.
    """
    # pytest's capture of stdout decodes what is written.
    others = {__file__, codecs.IncrementalDecoder.reset.__code__.co_filename}

    with connected(registry, engine, **(settings or {})) as (_, loop, client):
        words = ("good", "bad", "great", "awful", "film", "plot")
        fresh = map(" ".join, product(words, repeat=4))

        def new():
            return list(islice(fresh, texts))

        def set_profile(profile):
            done = threading.Event()

            def work():
                sys.setprofile(None)
                done.set()
                sys.setprofile(profile)

            loop.call_soon_threadsafe(work)
            assert done.wait(10)

        def counted():
            calls = Counter()

            def profile(frame, event, _argument):
                if event == "call" and frame.f_code.co_filename not in others:
                    calls[frame.f_code.co_qualname] += 1

            set_profile(profile)
            ask(client, new(), **options)
            set_profile(None)
            return calls

        for _ in range(3):
            ask(client, new(), **options)
        return min((counted() for _ in range(3)), key=Counter.total)
