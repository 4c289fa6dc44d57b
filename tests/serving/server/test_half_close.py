"""A client that ends its sending side is answered; one that has left is not waited for."""

import asyncio
import json
import socket
from contextlib import contextmanager

import pytest

from serving.server import half_close
from tests.support.processes import serving
from tests.support.raw_http import BODY, connect, head, read, request
from tests.support.registries import wait_for

CLASSIFY = b"".join(request())
SENT = {
    "direct": CLASSIFY,
    "chunked": b"".join(request(chunked=True)),
    "ASGI": b"".join(request(path="/health/live", method="GET", body=b"")),
    "HTTP/1.0": CLASSIFY.replace(b"HTTP/1.1", b"HTTP/1.0"),
}


@contextmanager
def half_closed(server, *parts):
    """A connection over which this was sent, and the end."""
    with connect(server.url, timeout=30) as connection:
        for part in parts:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)
        yield connection


@pytest.fixture(scope="module")
def slow(tiny_registry):
    """A server whose batches take a second."""
    with serving(
        tiny_registry,
        program="tests.support.slow_serving",
        environ={"SLOW_BATCH_S": "1"},
        variants="tiny",
    ) as running:
        yield running


def statuses(server):
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    return [line["status"] for line in lines if line["event"] == "request"]


@pytest.mark.parametrize("kind", SENT)
def test_a_whole_request_is_answered_and_the_connection_ends(server, kind):
    with half_closed(server, SENT[kind]) as connection:
        assert read(connection)[0] == 200
        assert connection.recv(1) == b""


def test_the_end_after_a_request_in_parts_is_said_in_its_answer(slow):
    """Slow, so that the end is known before the answer is written."""
    with half_closed(slow, CLASSIFY[:40], CLASSIFY[40:]) as connection:
        assert read(connection)[0] == 100
        status, headers, _ = read(connection)
        assert (status, headers["connection"], connection.recv(1)) == (200, "close", b"")


def test_each_pipelined_request_is_answered_and_then_the_end_comes(server):
    with half_closed(server, CLASSIFY * 3) as connection:
        assert [read(connection)[0] for _ in range(4)] == [200, 200, 200, 0]


@pytest.mark.parametrize("rest", [head(size=len(BODY)) + BODY[:5], b"GET /health/l"])
def test_a_request_that_was_cut_does_not_take_the_answer_of_the_one_before(server, rest):
    with half_closed(server, CLASSIFY + rest) as connection:
        found = [read(connection)[0]]
        while found[-1]:
            found.append(read(connection)[0])
    # The cut one is refused if its end is known before the answer is written.
    assert found in ([200, 0], [200, 400, 0])


@pytest.mark.parametrize("part", [b"", CLASSIFY[:30], CLASSIFY[:-3]])
def test_a_client_that_leaves_before_its_request_is_whole_gets_the_end(server, part):
    with half_closed(server, part) as connection:
        assert read(connection)[0] == 0


def test_a_refused_body_that_ends_early_ends_the_connection(server):
    with connect(server.url) as connection:
        connection.sendall(head("/nowhere", "POST", size=100_000))
        assert read(connection)[0] == 404
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""


def test_a_client_that_waits_for_long_is_told_so_and_answered(slow):
    with half_closed(slow, CLASSIFY) as connection:
        assert read(connection)[0] == 100
        assert read(connection)[0] == 200
        assert connection.recv(1) == b""


def test_nothing_is_sent_into_an_answer_before_the_last_one(server):
    body = json.dumps({"inputs": ["a " * 1000] * 100}).encode()
    with half_closed(server, head("/tokenize", size=len(body)) + body + CLASSIFY) as connection:
        said = b""
        while part := connection.recv(1 << 20):
            said += part
    first, _, rest = said.partition(b"\r\n\r\n")
    if b" 100 " in first:
        first, _, rest = rest.partition(b"\r\n\r\n")
    tokens, _, last = rest.partition(b"\r\n0\r\n\r\n")
    assert b" 200 " in first
    assert last.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1" not in tokens


def test_a_client_that_has_left_is_not_answered(slow):
    left = statuses(slow).count(499)
    for count in range(2):
        # The second waits for the first one's batch.
        body = b'{"texts": ["bad %d"]}' % count
        with connect(slow.url) as connection:
            connection.sendall(b"".join(request(body=body)))
    wait_for(lambda: statuses(slow).count(499) == left + 2)


@pytest.mark.parametrize("begun", [False, True])
async def test_nothing_is_sent_into_a_response_that_has_begun(monkeypatch, begun):
    monkeypatch.setattr(half_close, "_PROBE_AFTER_S", 0)
    ours, theirs = socket.socketpair()
    with theirs:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        looked = asyncio.Event()

        def may_probe():
            looked.set()
            return not begun

        half_closed = half_close.HalfClosed(loop, transport, may_probe)
        await asyncio.wait_for(looked.wait(), 30)
        half_closed.end()
        transport.close()
        theirs.setblocking(False)
        sent = await asyncio.wait_for(loop.sock_recv(theirs, 100), 30)
        assert sent == (b"" if begun else b"HTTP/1.1 100 Continue\r\n\r\n")
