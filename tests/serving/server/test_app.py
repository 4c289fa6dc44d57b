"""The path of a classify request in this process, over an engine that computes nothing."""

import asyncio
import gc
import json
import socket
import threading
import time

from serving.observability.counters import Counters
from serving.settings import PREFIX
from serving.variants.answers import FamilyAnswer
from tests.benchmarks.path_servers import KEY, everything
from tests.support.bundles import write_bundle, write_families, write_registry
from tests.support.in_process import ask, calls_of, connected, read, running, send
from tests.support.null_serving import NullEngine
from tests.support.registries import wait_for

# The budget of the path: every Python call in the loop's thread, libraries included. uvicorn's and
# httptools' share is 20, pydantic's 4, asyncio's 2. Whoever needs more raises it here, and says in
# the commit what it buys; lower it when the path gets shorter.
MOST_CALLS = 105
MOST_CALLS_A_TEXT = 12
# For a caller with a limit, whose answer is remembered and whose text may be logged.
MOST_CALLS_OF_A_CALLER = 10
SCOPE = {"method": "POST", "path": "/v1/classify", "headers": []}


class HeldEngine(NullEngine):
    """Runs nothing while `free` is not set."""

    free = threading.Event()

    def run(self, batch):
        assert self.free.wait(20)
        return super().run(batch)


class UnequalEngine(NullEngine):
    """Takes longer for the variant `wide`, so that the other is an option under overload."""

    def __init__(self, bundle, resources):
        super().__init__(bundle, resources)
        self._seconds = 2e-3 if bundle.manifest.variant == "wide" else 0

    def run(self, batch):
        time.sleep(self._seconds)
        return super().run(batch)


async def post(app, body):
    """Send one classify request; returns its status."""
    headers = [(b"content-type", b"application/json")]
    sent = []
    await app.direct.respond(SCOPE | {"headers": headers}, body, sent.append)
    ((head, _),) = sent
    return int(head.split()[1])


def test_a_warm_request_takes_no_more_calls_than_its_budget(tmp_path):
    registry = write_registry(tmp_path / "registry", tmp_path)

    one, many = (calls_of(registry, texts, UnequalEngine) for texts in (1, 32))

    assert one["InferenceProtocol.data_received"] == one["PendingText.__init__"] == 1
    assert many["PendingText.__init__"] == 32, "the texts were new"
    assert one["Brownout.update"] == 1, "there is a choice under overload"
    assert one["Scheduler.add"] == many["Scheduler.add"] == 1
    assert one.total() <= MOST_CALLS, one.most_common()
    assert many.total() <= MOST_CALLS + MOST_CALLS_A_TEXT * 32, many.most_common()


def test_a_caller_and_all_that_is_kept_of_it_take_no_more_calls_than_their_budget(tmp_path):
    registry = write_registry(tmp_path / "registry", tmp_path)
    given = {
        name.removeprefix(PREFIX).lower(): value for name, value in everything(tmp_path).items()
    }

    plain = calls_of(registry, 1, UnequalEngine, key=KEY)
    kept = calls_of(registry, 1, UnequalEngine, given | {"text_log_share": 1e-6}, key=KEY)

    assert kept["LimitUse.enter"] == kept["AnsweredRequests.add"] == 1
    assert kept.total() - plain.total() <= MOST_CALLS_OF_A_CALLER, kept - plain


def test_idle_families_add_no_call_to_a_request(tmp_path):
    write_bundle(tmp_path / "words")
    alone, beside = (
        write_families(tmp_path / "words", count, tmp_path / str(count)) for count in (1, 9)
    )

    one = calls_of(alone, 1, model="family0")
    among = calls_of(beside, 1, model="family0")

    assert one["PendingText.__init__"] == among["PendingText.__init__"] == 1
    assert one == among


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


async def test_an_answer_goes_out_before_its_request_its_texts_and_their_batch_are_counted(
    tmp_path, monkeypatch
):
    done = []
    for name in ("record_request", "record_answer", "record_batch"):
        monkeypatch.setattr(Counters, name, lambda *_, _name=name, **__: done.append(_name))
    async with running(write_registry(tmp_path / "registry", tmp_path)) as app:
        scope = SCOPE | {"headers": [(b"content-type", b"application/json")]}
        body = b'{"texts": ["good"]}'
        await app.direct.respond(scope, body, lambda _answer: done.append("sent"))
        await asyncio.sleep(0)

    assert done[0] == "sent"
    assert sorted(done[1:]) == ["record_answer", "record_batch", "record_request"]


def test_an_idle_connection_keeps_no_answer(tmp_path):
    asked = (
        b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
        b'Content-Length: 18\r\n\r\n{"inputs": "good"}'
    )

    def answers():
        """The ids of those in this process, of which other tests keep some."""
        return {id(each) for each in gc.get_objects() if type(each) is FamilyAnswer}

    with connected(write_registry(tmp_path / "registry", tmp_path)) as (_, _, client):
        before = answers()
        client.sendall(asked)
        assert b" 200 " in client.recv(1 << 16)

        wait_for(lambda: answers() <= before)


def test_who_leaves_while_its_text_waits_frees_its_place_and_is_noted_as_gone(tmp_path, capsys):
    registry = write_registry(tmp_path / "registry", tmp_path)
    HeldEngine.free.set()
    with connected(registry, HeldEngine) as (app, _, first):
        batcher = app.service.runtime._batcher
        HeldEngine.free.clear()
        send(first, ["good"])
        wait_for(lambda: batcher.requests_in_flight == 1)
        with socket.create_connection(first.getpeername(), timeout=10) as leaving:
            # More than uvicorn reads ahead.
            send(leaving, ["bad " * 2400] * 8, truncate=True)
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
            had_room = app.service.has_room
            with app.service.in_flight:
                head, body = app.direct.refusal(scope)
                left = app.service.in_flight.requests

    assert had_room
    assert left == 2
    assert head.startswith(b"HTTP/1.1 429 ")
    assert {b"retry-after: 1", b"x-request-id: me"} <= set(head.split(b"\r\n"))
    problem = json.loads(body)
    assert (problem["limit"], problem["value"], problem["request_id"]) == (2, 2, "me")


async def test_who_leaves_after_the_drain_is_noted_as_gone_and_what_still_ran_as_refused(
    tmp_path, capsys
):
    registry = write_registry(tmp_path / "registry", tmp_path)
    async with running(registry) as app:
        leaving, refused = (asyncio.create_task(post(app, b'{"texts": ["bad"]}')) for _ in range(2))
        await asyncio.sleep(0)
        app.service.out_of_time.add(refused)
        leaving.cancel()
        refused.cancel()
        await asyncio.wait([leaving, refused])

    assert leaving.cancelled()
    assert refused.result() == 503
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["status"] for line in said if line["event"] == "request"] == [499, 503]
