"""The application in this process, over an engine that computes nothing."""

import asyncio
import json
import sys
import threading
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import serving
from serving.runtime.local import LocalRuntime
from serving.runtime.reconciler import Reconciler
from serving.runtime.service import Service
from serving.server.app import create_app
from serving.settings import Settings
from tests.support.bundles import write_registry
from tests.support.null_serving import NullEngine

SOURCES = str(Path(serving.__file__).parent)
# Whoever adds to the path of every request sees it here. Lower it when the path gets shorter.
MOST_CALLS = 250


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


async def post(app, body):
    """Send one classify request; returns its status once the engine thread is idle again."""
    sent = []
    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/classify", "headers": headers}

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    async with asyncio.timeout(5):
        while not app.service.runtime._batcher._idle_threads:  # noqa: ASYNC110  a thread's counter
            await asyncio.sleep(0.001)
    return sent[0]["status"]


@contextmanager
def counted_calls():
    """Calls of functions in serving/, of all threads that are started within."""
    calls, counting = Counter(), threading.Event()

    def profile(frame, event, _argument):
        code = frame.f_code
        if event == "call" and counting.is_set() and code.co_filename.startswith(SOURCES):
            calls[code.co_qualname] += 1

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield calls, counting
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def texts(*words):
    return json.dumps({"texts": list(words)}).encode()


async def test_a_warm_request_takes_no_more_calls_than_its_budget(tmp_path):
    registry = write_registry(tmp_path / "registry", tmp_path)
    with counted_calls() as (calls, counting):
        async with running(registry) as app:
            for _ in range(3):
                assert await post(app, texts("good film", "bad plot")) == 200
            counting.set()
            status = await post(app, texts("good plot", "bad film"))
            counting.clear()

    assert status == 200
    assert calls["PendingText.__init__"] == 2, "the texts were new"
    assert calls["answers_of"] == 1, "the engine's thread is counted too"
    assert calls["lay_out"] <= 1, "the layout that predicted the batch's time feeds it too"
    assert calls.total() <= MOST_CALLS, calls.most_common()


async def test_however_a_request_ends_it_is_no_longer_in_flight(tmp_path):
    registry = write_registry(tmp_path / "registry", tmp_path)
    async with running(registry) as app:
        seen = []
        check_room = app.service.check_room
        app.service.check_room = lambda: (seen.append(app.service.in_flight.requests), check_room())
        answered = await post(app, texts("good"))
        malformed = await post(app, b"{")
        leaving = asyncio.create_task(post(app, texts("bad")))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])

        assert (answered, malformed) == (200, 400)
        assert seen == [1, 1, 1]
        assert app.service.in_flight.requests == 0


async def test_a_request_beyond_the_limit_is_refused_at_once_and_counts_only_meanwhile(tmp_path):
    registry = write_registry(tmp_path / "registry", tmp_path)
    async with running(registry, max_requests=2) as app:
        scope = {"method": "POST", "path": "/v1/classify", "headers": [(b"x-request-id", b"me")]}
        with app.service.in_flight:
            admitted = app.refusal(scope, closing=False)
            with app.service.in_flight:
                refused = app.refusal(scope, closing=False)
                left = app.service.in_flight.requests

    head, _, body = refused.partition(b"\r\n\r\n")
    assert admitted is None
    assert left == 2
    assert head.startswith(b"HTTP/1.1 429 ")
    assert {b"retry-after: 1", b"x-request-id: me"} <= set(head.split(b"\r\n"))
    problem = json.loads(body)
    assert (problem["limit"], problem["value"], problem["request_id"]) == (2, 2, "me")
