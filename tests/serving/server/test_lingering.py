"""Refusals before the body is read reach clients that send all of it before they read."""

import contextlib
import socket
import time
from itertools import product

import psutil
import pytest

from serving.server import lingering
from tests.support.processes import free_port, serving
from tests.support.raw_http import chunk, connect, head, read, request

KEY = "a-key-that-is-asked-for"
RIGHT = f"Authorization: Bearer {KEY}\r\n".encode()
WRONG = b"Authorization: Bearer another\r\n"
SIZE = 20_000_000
REFUSALS = {
    413: ("/v1/classify", "POST", RIGHT),
    401: ("/v1/classify", "POST", WRONG),
    404: ("/nowhere", "POST", RIGHT),
    405: ("/v1/classify", "PUT", RIGHT),
}


@pytest.fixture(scope="module")
def guarded(tiny_registry):
    """A server that wants a key, and whose admin API does too."""
    port = free_port()
    with serving(
        tiny_registry, api_key=KEY, admin_port=port, admin_key=KEY, keep_alive_s=30
    ) as running:
        yield running, f"http://127.0.0.1:{port}"


def send_all(connection, first, *, chunked):
    """Send the head and 20 MB, without reading."""
    connection.sendall(first)
    part = b" " * 1_000_000
    for _ in range(SIZE // len(part)):
        connection.sendall(chunk(part) if chunked else part)
    if chunked:
        connection.sendall(b"0\r\n\r\n")


def flood(connection, part, most):
    """Send this again and again; returns how much was sent before the end, at most `most`."""
    sent = 0
    with contextlib.suppress(OSError):
        while sent < most:
            connection.sendall(part)
            sent += len(part)
    return sent


@pytest.mark.parametrize(
    ("status", "closing", "chunked"), list(product(REFUSALS, [False, True], [False, True]))
)
def test_a_client_that_sends_20_mb_reads_its_refusal(guarded, status, closing, chunked):
    server, _ = guarded
    path, method, fields = REFUSALS[status]
    fields += b"Connection: close\r\n" if closing else b""
    first = head(path, method, fields, None if chunked else SIZE)
    resident = psutil.Process(server.process.pid).memory_info().rss
    for _ in range(3):
        with connect(server.url, timeout=20) as connection:
            send_all(connection, first, chunked=chunked)
            found, headers, _ = read(connection)
            assert found == status
            assert headers["connection"] == ("close" if closing else "keep-alive")
            if closing:
                assert connection.recv(1) == b""
            else:
                connection.sendall(b"".join(request(RIGHT)))
                assert read(connection)[0] == 200
    assert psutil.Process(server.process.pid).memory_info().rss < resident + SIZE


def test_the_admin_api_lingers_too(guarded):
    _, admin = guarded
    first = head("/admin/rescan", "POST", WRONG + b"Connection: close\r\n", SIZE)
    with connect(admin, timeout=20) as connection:
        send_all(connection, first, chunked=False)
        assert read(connection)[0] == 401


@pytest.mark.parametrize("status", REFUSALS)
def test_a_client_that_waits_for_100_continue_gets_its_refusal_and_the_end(guarded, status):
    server, _ = guarded
    path, method, fields = REFUSALS[status]
    with connect(server.url) as connection:
        connection.sendall(head(path, method, fields + b"Expect: 100-continue\r\n", SIZE))
        found, headers, _ = read(connection)
        assert (found, headers["connection"]) == (status, "close")
        assert connection.recv(1) == b""
        # One that sends its body nevertheless is not reset.
        connection.sendall(b" " * 1_000_000)
        connection.sendall(b" " * 1_000_000)


def test_malformed_http_in_front_of_20_mb_is_answered_with_400(guarded):
    server, _ = guarded
    with connect(server.url, timeout=20) as connection:
        send_all(connection, b"NONSENSE\r\n\r\n", chunked=False)
        assert read(connection)[0] == 400


def test_malformed_http_behind_a_request_does_not_take_its_answer(guarded):
    server, _ = guarded
    good = b"".join(request(RIGHT))
    with connect(server.url) as connection:
        connection.sendall(good + good + b"NONSENSE\r\n\r\n")
        assert [read(connection)[0] for _ in range(4)] == [200, 200, 400, 0]


def test_a_head_that_is_too_large_behind_a_request_does_not_take_its_answer(guarded):
    server, _ = guarded
    good = b"".join(request(RIGHT))
    with connect(server.url) as connection:
        connection.sendall(good + b"GET / HTTP/1.1\r\nHost: a\r\n")
        connection.sendall(b"A: b\r\n" * 20_000)
        assert [read(connection)[0] for _ in range(3)] == [200, 400, 0]


@pytest.mark.parametrize("fields", [b"", b"Connection: close\r\n"], ids=["kept", "closing"])
def test_a_client_that_does_not_send_its_refused_body_is_given_up_in_time(guarded, fields):
    server, _ = guarded
    with connect(server.url) as connection:
        connection.sendall(head("/nowhere", "POST", RIGHT + fields, SIZE))
        assert read(connection)[0] == 404
        began = time.monotonic()
        # The one that is to close sees the end of what is sent at once, and later that of all.
        ended = False
        while not ended and time.monotonic() - began < 20:
            time.sleep(0.5)
            try:
                connection.sendall(b" ")
            except OSError:
                ended = True
    assert ended
    assert 4 < time.monotonic() - began < 10


@pytest.mark.parametrize("fields", [b"", b"Connection: close\r\n"], ids=["kept", "closing"])
def test_no_more_than_the_bound_is_read_of_a_refused_body(guarded, fields):
    server, _ = guarded
    most = lingering._MOST_BYTES
    with connect(server.url, timeout=20) as connection:
        connection.sendall(head("/nowhere", "POST", RIGHT + fields))
        sent = flood(connection, chunk(b" " * 1_000_000), 2 * most)
    assert most < sent + 32_000_000
    assert sent < most + 32_000_000


def test_a_client_that_does_not_read_is_given_up_in_time(guarded):
    server, _ = guarded
    texts = b'{"texts": [' + b",".join([b'"good"'] * 256) + b"]}"
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, port = server.url.removeprefix("http://").split(":")
    connection.connect((host, int(port)))
    connection.settimeout(5)
    whole = b"".join(request(RIGHT, body=texts))
    own = psutil.Process(server.process.pid)
    mine = connection.getsockname()[1]
    with connection:
        flood(connection, whole, SIZE)
        began = time.monotonic()
        while time.monotonic() - began < 25 and any(
            each.raddr and each.raddr.port == mine for each in own.net_connections()
        ):
            time.sleep(0.5)
        assert time.monotonic() - began < 25
