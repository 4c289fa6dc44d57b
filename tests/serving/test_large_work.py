"""What takes long for a large request waits for its one thread no longer than a request may."""

import asyncio
import json
import threading
import time
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from serving.background import Threads
from serving.errors import DeadlineMissed
from serving.large_work import LargeWork
from tests.support.bundles import write_registry
from tests.support.in_process import connected, running
from tests.support.processes import FRESH

LARGE = ["good film " * 80] * 50
TENSOR = {"name": "text", "datatype": "BYTES", "shape": [50], "data": LARGE}
REQUESTS = {
    "a large body": ("/v1/classify", {"texts": LARGE, "truncate": True}),
    "a text that is tokenized": ("/v1/classify", {"texts": ["good " * 1000], "truncate": True}),
    "an explanation": ("/v1/classify", {"texts": ["good film"], "explain": {}}),
    "the tokens of a text": ("/tokenize", {"inputs": "good " * 1000}),
    "parts of an input": (
        "/v1/moderations", {"input": [{"type": "text", "text": "good film"}]},
    ),
    "a large body of tensors": (
        "/v2/models/tone/infer", {"inputs": [TENSOR], "parameters": {"truncate": True}},
    ),
}  # fmt: skip


@pytest.fixture
def large_work():
    made = LargeWork(60)
    yield made
    made.close()


@asynccontextmanager
async def busy(work):
    """Hold its thread."""
    end, begun = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold():
        loop.call_soon_threadsafe(begun.set)
        end.wait()

    holding = asyncio.create_task(work.do(hold))
    await begun.wait()
    yield
    end.set()
    with suppress(DeadlineMissed):
        await holding


async def test_what_the_work_returns_or_raises_reaches_who_waits(large_work):
    assert await large_work.do(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        await large_work.do(lambda: 1 / 0)


async def test_no_wait_is_longer_than_the_limit():
    work = LargeWork(0.05)

    async with busy(work):
        with pytest.raises(DeadlineMissed, match="took until the deadline") as missed:
            await work.do(lambda: None)
    work.close()

    assert missed.value.field == "deadline_ms"


async def test_what_has_not_begun_at_its_deadline_or_when_its_client_left_never_does(large_work):
    done = []

    async with busy(large_work):
        with pytest.raises(DeadlineMissed, match="tokenizing took until the deadline"):
            await large_work.do(
                lambda: done.append("late"), time.monotonic() + 0.05, what="tokenizing"
            )
        left = asyncio.create_task(large_work.do(lambda: done.append("left")))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.wait([left])

    await large_work.do(lambda: done.append("last"))
    assert done == ["last"]


async def test_work_in_another_thread_does_not_wait_for_this_one(large_work):
    other = Threads(1, "other")

    async with busy(large_work):
        assert await large_work.do(threading.current_thread, thread=other) is not None
    other.shutdown()


@pytest.mark.parametrize("what", REQUESTS)
async def test_every_request_that_needs_the_thread_is_refused_in_time(tmp_path, what):
    registry = write_registry(tmp_path / "registry", tmp_path)
    (registry / "tone" / "policy.json").write_text('{"harmless": ["positive"]}')
    path, body = REQUESTS[what]
    async with running(registry, max_deadline_ms=200, default_deadline_ms=200) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:

            async def ask():
                return await client.post(path, json=body, headers=FRESH, timeout=None)

            async with busy(app.service.large_work):
                refused = await asyncio.wait_for(ask(), 30)
            answered = await ask()

    assert (refused.status_code, answered.status_code) == (504, 200), refused.text
    assert "took until the deadline" in json.dumps(refused.json())


def test_a_list_that_is_refused_midway_ends_its_connection_and_is_no_bug(tmp_path, capsys):
    registry = write_registry(tmp_path / "registry", tmp_path)
    body = json.dumps({"inputs": ["good film " * 1900] * 30}).encode()
    head = f"POST /tokenize HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n"
    with connected(registry, max_deadline_ms=500, default_deadline_ms=500) as (app, loop, client):
        client.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        received = client.recv(1000)
        end = threading.Event()
        asyncio.run_coroutine_threadsafe(app.service.large_work.do(end.wait), loop)
        while more := client.recv(1 << 20):
            received += more
        end.set()

    assert received.startswith(b"HTTP/1.1 200")
    assert not received.endswith(b"\r\n0\r\n\r\n")
    said = capsys.readouterr()
    (line,) = (each for each in said.out.splitlines() if '"path":"/tokenize"' in each)
    assert json.loads(line)["code"] == "deadline_missed"
    assert "Traceback" not in said.out + said.err
