"""Connections and requests leave nothing that only the garbage collector would free.

Each kind comes several times to a real server whose collector is off; then it looks, for once.
"""

import json
import socket
import time

import httpx
import pytest

from tests.support import grpc_calls
from tests.support.api_keys import write_callers
from tests.support.garbage import of_ours, uncollected
from tests.support.processes import free_port
from tests.support.raw_http import connect, head, read, request
from tests.support.registries import wait_for

TIMES = 5
MOST_REQUESTS = 20
KEY = {"Authorization": "Bearer operators-only"}
RESET = b"\1\0\0\0\0\0\0\0"
V2 = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good"]}]}


def whole(fields=b"", **how):
    return b"".join(request(fields, **how))


def classify(number, **fields):
    """A request of a text that has no answer yet."""
    body = json.dumps({"texts": [f"bad film {number}"], **fields}).encode()
    return whole(b"Cache-Control: no-cache\r\n", body=body)


def get(path):
    return whole(path=path, method="GET", body=b"")


LONG = json.dumps({"texts": ["good film " * 20] * 200, "truncate": True}).encode()
ANSWERED = {
    "direct": (whole(), 200),
    "body in chunks": (whole(chunked=True), 200),
    "probe": (get("/health/live"), 200),
    "scrape": (get("/metrics"), 200),
    "Hugging Face": (whole(path="/predict", body=b'{"inputs": "good"}'), 200),
    "Open Inference": (whole(path="/v2/models/tone/infer", body=json.dumps(V2).encode()), 200),
    "large": (whole(body=LONG), 200),
    "large, refused": (whole(body=LONG.replace(b"[", b"[1,")), 422),
    "upgrade": (whole(b"Connection: upgrade\r\nUpgrade: h2c\r\n"), 200),
    "last of a connection": (whole(b"Connection: close\r\n"), 200),
    "no JSON": (whole(body=b"{"), 400),
    "no JSON, through ASGI": (whole(path="/predict", body=b"{"), 400),
    "invalid": (whole(body=b'{"texts": [""]}'), 422),
    "unknown model": (whole(body=b'{"texts": ["good"], "model": "x"}'), 404),
    "unknown path": (get("/nowhere"), 404),
    "other method": (get("/v1/classify"), 405),
    "other encoding": (whole(b"Content-Encoding: gzip\r\n"), 415),
    "malformed": (b"POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "no HTTP": (b"\0\r\n\r\n", 400),
    "malformed after a request": (whole() + b"\0\r\n\r\n", 200),
    "body that does not end": (whole()[:-3], 408),
    "body that is too large": (head(size=1 << 30) + b"good", 413),
}


def answered(kind, server):
    sent, status = ANSWERED[kind]
    for _ in range(TIMES):
        with connect(server.url) as client:
            client.sendall(sent)
            assert read(client)[0] == status


def kept(server):
    with connect(server.url) as client:
        for _ in range(TIMES):
            client.sendall(whole())
            assert read(client)[0] == 200


def idle(server):
    for _ in range(TIMES):
        connect(server.url).close()


def pipelined(server):
    for count in (5, 40):
        with connect(server.url) as client:
            client.sendall(whole() * count)
            assert {read(client)[0] for _ in range(count)} == {200}


def pipelined_and_left(server):
    for sent in (whole(), whole(path="/predict", body=b'{"inputs": "good"}')):
        with connect(server.url) as client:
            client.sendall(sent * 100)


def left_in_the_middle(server):
    for sent in (whole()[:30], whole()[:-3], whole(chunked=True)[:-6]):
        for end in (None, RESET, socket.SHUT_WR):
            with connect(server.url) as client:
                client.sendall(sent)
                if end is RESET:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                elif end is not None:
                    client.shutdown(end)
                time.sleep(0.02)


def half_closed(server):
    for _ in range(TIMES):
        with connect(server.url) as client:
            client.sendall(whole())
            client.shutdown(socket.SHUT_WR)
            assert read(client)[0] == 200


def begun_together(server, count, **fields):
    """Clients whose requests wait for an engine that is held by the first's.

    The fields are the others': a deadline could end the first before it reaches the engine.
    """
    held = server.hold.with_suffix(".held")
    held.unlink(missing_ok=True)
    server.hold.touch()
    clients = [connect(server.url) for _ in range(count)]
    for number, client in enumerate(clients):
        client.sendall(classify(number, **(fields if number else {})))
        wait_for(held.exists)
    time.sleep(0.2)
    return clients


def ended(server, clients):
    server.hold.unlink()
    statuses = [read(client)[0] for client in clients]
    for client in clients:
        client.close()
    return statuses


def late(server):
    assert 504 in ended(server, begun_together(server, TIMES, deadline_ms=100))


def refused_for_want_of_room(server):
    assert 429 in ended(server, begun_together(server, MOST_REQUESTS + TIMES))


def left_while_it_waits(server):
    for client in begun_together(server, TIMES):
        client.close()
    time.sleep(0.1)
    server.hold.unlink()


def administered(server):
    with httpx.Client(
        base_url=f"http://127.0.0.1:{server.ports['admin_port']}/admin", headers=KEY
    ) as admin:
        for _ in range(TIMES):
            assert admin.get("/models").status_code == 200
            assert admin.put("/models/tone/traffic", json={"tiny": {}}).status_code == 200
            assert admin.put("/models/tone/traffic", content=b"{").status_code == 415
            assert admin.put("/models/tone/traffic", json={"x": {}}).status_code == 422
            assert admin.get("/models/none").status_code == 404
            assert admin.get("/models", headers={"Authorization": "x"}).status_code == 401


OTHERS = [
    kept,
    idle,
    pipelined,
    pipelined_and_left,
    left_in_the_middle,
    half_closed,
    late,
    refused_for_want_of_room,
    left_while_it_waits,
    administered,
]


def called(server):
    with grpc_calls.channel(server.ports["grpc_port"]) as channel:
        for _ in range(TIMES):
            grpc_calls.call(channel)(grpc_calls.request("good film"))


def cancelled_calls(server):
    with grpc_calls.channel(server.ports["grpc_port"]) as channel:
        server.hold.touch()
        ask = grpc_calls.call(channel)
        calls = [ask.future(grpc_calls.request(f"bad {each}"), timeout=9) for each in range(TIMES)]
        time.sleep(0.1)
        for call in calls:
            call.cancel()
        time.sleep(0.1)
        server.hold.unlink()


@pytest.fixture(scope="module", params=[0, 1], ids=["one process", "an HTTP process"])
def server(request, tiny_registry, tmp_path_factory):
    folder = tmp_path_factory.mktemp("garbage")
    settings = {
        "http_processes": request.param,
        "grpc_port": free_port(),
        "admin_port": free_port(),
        "admin_key": "operators-only",
        "max_requests": MOST_REQUESTS,
        "body_timeout_ms": 300,
        "scan_ms": 60_000,
    }
    with uncollected(tiny_registry, folder, **settings) as running:
        yield running


def what_is_left(server, kind):
    """Of a kind that has come before, so that what is made once is there."""
    kind(server)
    server.left()
    kind(server)
    return server.left()


@pytest.mark.parametrize("kind", ANSWERED)
def test_an_answered_request_leaves_nothing(server, kind):
    assert what_is_left(server, lambda server: answered(kind, server)) == {}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_connection_leaves_nothing(server, kind):
    assert what_is_left(server, kind) == {}


@pytest.mark.parametrize("kind", [called, cancelled_calls])
def test_a_call_leaves_nothing_of_ours(server, kind):
    assert of_ours(what_is_left(server, kind)) == {}


@pytest.mark.parametrize("http_processes", [0, 1])
def test_a_request_beyond_its_callers_limit_leaves_nothing(tiny_registry, tmp_path, http_processes):
    callers = tmp_path / "callers.json"
    (headers,) = write_callers(callers, poor={"texts_per_s": 0.01}).values()

    def refused(server):
        statuses = [server.server.classify({"texts": ["good"]}, headers=headers).status_code]
        assert set(statuses) <= {200, 429}

    settings = {"callers": callers, "http_processes": http_processes}
    with uncollected(tiny_registry, tmp_path, **settings) as server:
        refused(server)
        assert what_is_left(server, refused) == {}


def test_every_process_collects_seldom(server):
    for report in server.reports():
        assert report["thresholds"] == [10_000, 10, 10]
