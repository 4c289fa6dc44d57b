"""The path of a classify request in this process, over an engine that computes nothing."""

import asyncio
import codecs
import json
import socket
import sys
import threading
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from itertools import islice, product

import uvloop

from serving.runtime.local import LocalRuntime
from serving.runtime.reconciler import Reconciler
from serving.runtime.service import Service
from serving.server.app import create_app
from serving.server.http_server import InferenceProtocol, Server
from serving.settings import Settings
from tests.support.bundles import write_registry
from tests.support.null_serving import NullEngine
from tests.support.registries import wait_for

# The budget of the path: every Python call in the loop's thread, libraries included. uvicorn's and
# httptools' share is 28, pydantic's 4, asyncio's 4. Whoever needs more raises it here, and says in
# the commit what it buys; lower it when the path gets shorter.
MOST_CALLS = 110
MOST_CALLS_A_TEXT = 12
SCOPE = {"method": "POST", "path": "/v1/classify", "headers": []}


class HeldEngine(NullEngine):
    """Runs nothing while `free` is not set."""

    free = threading.Event()

    def run(self, batch):
        assert self.free.wait(20)
        return super().run(batch)


@asynccontextmanager
async def running(registry, engine=NullEngine, **settings):
    """The application with its models loaded, and one engine thread."""
    chosen = Settings(registry=[registry], engine="onnxruntime", threads=1, **settings)
    runtime = LocalRuntime(chosen, {"onnxruntime": engine})
    app = create_app(Service(chosen, runtime), lambda _error: None)
    loaded = asyncio.Event()
    await Reconciler(chosen, runtime).load()
    following = asyncio.create_task(app.service.follow(loaded.set))
    await loaded.wait()
    yield app
    following.cancel()
    app.service.close()


async def post(app, body):
    """Send one classify request; returns its status."""
    headers = [(b"content-type", b"application/json")]
    head, _ = await app.direct.respond(SCOPE | {"headers": headers}, body)
    return int(head.split()[1])


@contextmanager
def connected(registry, engine=NullEngine):
    """(application, loop, socket) of a server in a thread of its own, with one connection."""
    ready, ended = threading.Event(), asyncio.Event()
    found = []

    async def main():
        listener = socket.create_server(("127.0.0.1", 0))
        async with running(registry, engine) as app:
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


def send(client, texts):
    """Send these texts in one request, in one piece."""
    body = json.dumps({"texts": texts}).encode()
    head = (
        b"POST /v1/classify HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    client.sendall(head + body)


def read(client):
    """Read the answer."""
    answer = b""
    while not answer.endswith(b"}}"):
        answer += client.recv(1 << 20)
    assert answer.startswith(b"HTTP/1.1 200 "), answer


def ask(client, texts):
    """Send a request and read the answer."""
    send(client, texts)
    read(client)


def calls_of(registry, texts):
    """Python calls in the loop's thread for one warm request of so many new texts."""
    calls, begun, done = Counter(), threading.Event(), threading.Event()

    # pytest's capture of stdout decodes what is written.
    others = {__file__, codecs.IncrementalDecoder.reset.__code__.co_filename}

    def profile(frame, event, _argument):
        if event == "call" and frame.f_code.co_filename not in others:
            calls[frame.f_code.co_qualname] += 1

    def start():
        begun.set()
        sys.setprofile(profile)

    def stop():
        sys.setprofile(None)
        done.set()

    with connected(registry) as (_, loop, client):
        words = ("good", "bad", "great", "awful", "film", "plot")
        fresh = map(" ".join, product(words, repeat=4))

        def new():
            return list(islice(fresh, texts))

        for _ in range(3):
            ask(client, new())
        loop.call_soon_threadsafe(start)
        assert begun.wait(10)
        ask(client, new())
        loop.call_soon_threadsafe(stop)
        assert done.wait(10)
    return calls


def test_a_warm_request_takes_no_more_calls_than_its_budget(tmp_path):
    registry = write_registry(tmp_path / "registry", tmp_path)

    one, many = calls_of(registry, 1), calls_of(registry, 32)

    assert one["InferenceProtocol.data_received"] == one["PendingText.__init__"] == 1
    assert many["PendingText.__init__"] == 32, "the texts were new"
    assert one["Scheduler.add"] == many["Scheduler.add"] == 1
    assert one.total() <= MOST_CALLS, one.most_common()
    assert many.total() <= MOST_CALLS + MOST_CALLS_A_TEXT * 32, many.most_common()


async def test_however_a_request_ends_it_is_no_longer_in_flight(tmp_path):
    registry = write_registry(tmp_path / "registry", tmp_path)
    async with running(registry) as app:
        seen = []
        check_room = app.service.check_room
        app.service.check_room = lambda: (seen.append(app.service.in_flight.requests), check_room())
        answered = await post(app, b'{"texts": ["good"]}')
        malformed = await post(app, b"{")
        leaving = asyncio.create_task(post(app, b'{"texts": ["bad"]}'))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])

        assert (answered, malformed) == (200, 400)
        assert seen == [1, 1, 1]
        assert app.service.in_flight.requests == 0


def test_who_leaves_while_its_text_waits_frees_its_place_and_is_noted_as_gone(tmp_path, capsys):
    registry = write_registry(tmp_path / "registry", tmp_path)
    HeldEngine.free.set()
    with connected(registry, HeldEngine) as (app, _, first):
        batcher = app.service.runtime._batcher
        HeldEngine.free.clear()
        send(first, ["good"])
        wait_for(lambda: batcher.requests_in_flight == 1)
        with socket.create_connection(first.getpeername(), timeout=10) as leaving:
            send(leaving, ["bad"])
            wait_for(lambda: batcher.requests_in_flight == 2)
        wait_for(lambda: batcher.requests_in_flight == app.service.in_flight.requests == 1)
        HeldEngine.free.set()
        read(first)
        ask(first, ["plot"])

    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["status"] for line in said if line["event"] == "request"] == [499, 200, 200]


async def test_a_request_beyond_the_limit_is_refused_at_once_and_counts_only_meanwhile(tmp_path):
    registry = write_registry(tmp_path / "registry", tmp_path)
    async with running(registry, max_requests=2) as app:
        scope = SCOPE | {"headers": [(b"x-request-id", b"me")]}
        with app.service.in_flight:
            admitted = app.direct.refusal(scope)
            with app.service.in_flight:
                head, body = app.direct.refusal(scope)
                left = app.service.in_flight.requests

    assert admitted is None
    assert left == 2
    assert head.startswith(b"HTTP/1.1 429 ")
    assert {b"retry-after: 1", b"x-request-id: me"} <= set(head.split(b"\r\n"))
    problem = json.loads(body)
    assert (problem["limit"], problem["value"], problem["request_id"]) == (2, 2, "me")
