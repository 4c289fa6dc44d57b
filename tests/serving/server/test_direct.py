"""A request that arrives whole is answered without ASGI; the answer is the same as with it."""

import gc
import json
import re
import socket
import time
from contextlib import suppress

import pytest

from serving.server.inference_protocol import InferenceProtocol
from tests.support.in_process import ask, connected
from tests.support.processes import serving

JSON = "Content-Type: application/json"
BODIES = {
    "answered": (b'{"texts": ["good film", "bad plot"]}', [JSON]),
    "cached": (b'{"texts": ["good film"], "variant": "wide"}', [JSON, "Cache-Control: max-age=9"]),
    "named": (b'{"texts": ["good"], "variant": "tiny"}', [JSON, "X-Request-Id: mine-1"]),
    "empty": (b"", [JSON]),
    "no JSON": (b"{", [JSON]),
    "no texts": (b'{"texts": []}', [JSON]),
    "an empty text": (b'{"texts": ["good", ""]}', [JSON]),
    "a long text": (json.dumps({"texts": ["good " * 300]}).encode(), [JSON]),
    "too many characters": (json.dumps({"texts": ["good " * 3000]}).encode(), [JSON]),
    "no such model": (b'{"texts": ["good"], "model": "none"}', [JSON]),
    "no such variant": (b'{"texts": ["good"], "variant": "none"}', [JSON]),
    "no time": (b'{"texts": ["good"], "deadline_ms": 900000000}', [JSON]),
    "of another kind": (b'{"texts": [["good", "bad"]]}', [JSON]),
    "no type": (b'{"texts": ["good"]}', []),
    "another type": (b'{"texts": ["good"]}', ["Content-Type: text/plain"]),
    "in another charset": (b'{"texts": ["good"]}', [JSON + "; charset=utf-16"]),
    "compressed": (b'{"texts": ["good"]}', [JSON, "Content-Encoding: gzip"]),
    "too large": (b'{"texts": ["' + b"good " * 30_000 + b'"]}', [JSON]),
    "no UTF-8": (b'{"texts": ["\xff\xfe"]}', [JSON]),
    "half a character": (b'{"texts": ["\\ud800"]}', [JSON]),
}


@pytest.fixture(scope="module")
def small(tiny_registry):
    with serving(tiny_registry, max_body_bytes=100_000, max_text_chars=9000) as running:
        yield running


def connect(server):
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    return socket.create_connection(address, timeout=10)


def request(body, headers, version="1.1"):
    lines = [f"POST /v1/classify HTTP/{version}", "Host: here", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode(), body


def read(connection, left=b""):
    """(status line, headers, body), and what came after them."""
    said = left
    while b"\r\n\r\n" not in said:
        received = connection.recv(65_536)
        assert received, f"the connection ended after {said!r}"
        said += received
    head, _, rest = said.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    size = int(headers["content-length"])
    while len(rest) < size:
        rest += connection.recv(65_536)
    return (first, headers, rest[:size]), rest[size:]


def steady(answer):
    """An answer without what differs from one request to the next."""
    first, headers, body = answer
    changing = {"date", "x-request-id", "server-timing"}
    body = re.sub(rb'"request_id":"[^"]*"', b"", body)
    return first, sorted(headers), {k: v for k, v in headers.items() if k not in changing}, body


@pytest.mark.parametrize("case", BODIES)
def test_an_answer_is_the_same_whether_the_request_arrives_whole_or_in_pieces(small, case):
    head, body = request(*BODIES[case])
    with connect(small) as connection:
        connection.sendall(head + body)
        whole, _ = read(connection)
    with connect(small) as connection:
        head, body = request(body, [*BODIES[case][1], "Expect: 100-continue"])
        connection.sendall(head)
        said = connection.recv(65_536)
        asked = said.startswith(b"HTTP/1.1 100 ")
        if asked:
            connection.sendall(body)
            _, _, said = said.partition(b"\r\n\r\n")
        pieces, _ = read(connection, said)
        unread = body and not asked
        if unread:
            # The client need not send its body now, so what it sends next is no body for certain.
            assert connection.recv(1) == b""

    kept = {"connection": "keep-alive", "keep-alive": "timeout=620"}
    assert kept.items() <= whole[1].items()
    if unread:
        assert pieces[1].pop("connection") == "close"
        assert "keep-alive" not in pieces[1]
        pieces[1].update(kept)
    assert steady(whole) == steady(pieces)
    assert {"date", "x-request-id"} <= whole[1].keys()
    assert ("server-timing" in whole[1]) == whole[0].startswith("HTTP/1.1 200")


def test_heads_that_begin_at_the_end_of_a_packet_are_each_counted_for_themselves(small):
    body = json.dumps({"texts": ["good"]}).encode()
    whole = b"".join(request(body, [JSON, "X-Filler: " + "x" * 3000]))
    with connect(small) as connection:
        left = b""
        connection.sendall(whole[:10])
        for _ in range(40):
            connection.sendall(whole[10:] + whole[:10])
            answer, left = read(connection, left)
            assert answer[0] == "HTTP/1.1 200 OK"


def test_requests_in_one_packet_are_answered_in_their_order(small):
    sent = [
        b"".join(request(json.dumps({"texts": ["good film"] * n}).encode(), [JSON]))
        for n in (3, 1, 2)
    ]
    split = len(sent[2]) - 5
    with connect(small) as connection:
        connection.sendall(b"".join(sent) + sent[2][:split])
        answers, left = [], b""
        for _ in sent:
            answer, left = read(connection, left)
            answers.append(answer)
        connection.sendall(sent[2][split:])
        answers.append(read(connection, left)[0])

    assert [len(json.loads(body)["results"]) for _, _, body in answers] == [3, 1, 2, 2]


def test_fields_behind_a_chunked_body_are_not_the_heads(small):
    head = (
        f"POST /v1/classify HTTP/1.1\r\nHost: here\r\n{JSON}\r\nX-Request-Id: mine\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    body = b'{"texts": ["good"]}'
    sent = head.encode() + b"%x\r\n%b\r\n0\r\nX-Request-Id: other\r\n\r\n" % (len(body), body)
    with connect(small) as connection:
        connection.sendall(sent)
        answer, _ = read(connection)

    assert answer[0] == "HTTP/1.1 200 OK"
    assert answer[1]["x-request-id"] == "mine"


@pytest.mark.parametrize(
    ("sent", "more"),
    [
        (b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n", b"\r\n"),
        (
            f"POST /v1/classify HTTP/1.1\r\nHost: here\r\n{JSON}\r\n"
            "Content-Length: 900000\r\n\r\n".encode(),
            b"x",
        ),
    ],
    ids=["empty lines", "the rest of a body that was refused"],
)
def test_what_is_no_request_does_not_keep_a_connection_open(small, sent, more):
    with connect(small) as connection:
        connection.sendall(sent)
        read(connection)
        connection.settimeout(0.5)
        started = time.monotonic()
        end = None
        while end is None and time.monotonic() - started < 15:
            connection.sendall(more)
            with suppress(TimeoutError):
                end = connection.recv(1)

    assert end == b""


def test_a_chunked_body_is_answered(small):
    body = b'{"texts": ["good"]}'
    head = (
        f"POST /v1/classify HTTP/1.1\r\nHost: here\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with connect(small) as connection:
        connection.sendall(head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        answer, _ = read(connection)

    assert answer[0] == "HTTP/1.1 200 OK"


def test_a_client_of_http_1_0_sees_the_end(small):
    with connect(small) as connection:
        connection.sendall(b"".join(request(b'{"texts": ["good"]}', [JSON], version="1.0")))
        answer, left = read(connection)
        end = connection.recv(1)

    assert answer[1]["connection"] == "close"
    assert (left, end) == (b"", b"")


def test_an_idle_connection_keeps_nothing_of_what_was_sent(tiny_registry):
    with connected(tiny_registry) as (_, _, client):
        ask(client, ["good film"] * 32)
        connections = [each for each in gc.get_objects() if type(each) is InferenceProtocol]
        ours = [each for each in connections if each.client == client.getsockname()]

        assert [bytes(each.cycle.body) for each in ours] == [b""]
