"""Requests in any packets; framing without content and unread pipelines are bounded."""

import contextlib
import itertools
import socket
import struct

import psutil
import pytest

from tests.support.processes import serving
from tests.support.raw_http import BODY, connect, head, read, request
from tests.support.registries import wait_for

WHOLE = b"".join(request())
CHUNKED = head() + b"%x;a=b\r\n%b\r\n0\r\nT: r\r\n\r\n" % (len(BODY), BODY)
LIVE = b"".join(request(path="/health/live", method="GET", body=b""))
MEGABYTE = 1_000_000
ENDLESS = {
    "a chunk's extension": (head() + b"5;", b"a" * 65_536),
    "a chunk's size": (head(), b"0" * 65_536),
    "a trailer": (head() + b"1\r\n{\r\n0\r\nT: ", b"a" * 65_536),
    "trailers": (head() + b"1\r\n{\r\n0\r\n", b"T: a\r\n" * 10_000),
    "empty lines": (b"", b"\r\n" * 10_000),
    "a refused request's trailer": (head("/nowhere") + b"0\r\nT: ", b"a" * 65_536),
}


@pytest.mark.parametrize("whole", [WHOLE, CHUNKED], ids=["length", "chunked"])
def test_a_request_that_is_split_at_any_byte_is_answered(server, whole):
    with connect(server.url) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(1, len(whole)):
            connection.sendall(whole[:at])
            connection.sendall(whole[at:])
            assert read(connection)[0] == 200, at


def test_a_request_that_comes_byte_by_byte_is_answered(server):
    with connect(server.url) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in CHUNKED:
            connection.sendall(bytes([byte]))
        assert read(connection)[0] == 200


@pytest.mark.parametrize("kind", ENDLESS)
def test_framing_without_content_is_refused_after_64_kib(server, kind):
    first, part = ENDLESS[kind]
    resident = psutil.Process(server.process.pid).memory_info().rss
    with connect(server.url, timeout=30) as connection:
        connection.sendall(first)
        for _ in range(20 * MEGABYTE // len(part)):
            connection.sendall(part)
        status, _, _ = read(connection)
        end = connection.recv(1)

    assert (status, end) == (404 if "refused" in kind else 400, b"")
    assert psutil.Process(server.process.pid).memory_info().rss < resident + 15 * MEGABYTE


@pytest.mark.parametrize("whole", [WHOLE, b"".join(request(path="/predict", body=b"{}"))])
def test_a_client_that_pipelines_and_does_not_read_takes_little_memory(tiny_registry, whole):
    with serving(tiny_registry) as server, socket.socket() as connection:
        own = psutil.Process(server.process.pid)
        before = own.memory_info().rss
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(2)
        connection.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
        with contextlib.suppress(OSError):
            for _ in range(100):
                connection.sendall(whole * 1000)
        assert own.memory_info().rss < before + 60 * MEGABYTE
        assert server.classify({"texts": ["good"]}).status_code == 200


def test_resets_in_every_state_leave_nothing_behind(server):
    own = psutil.Process(server.process.pid)
    before = own.num_fds()
    partial = (b"", WHOLE[:20], WHOLE[:-3], WHOLE, WHOLE * 3, CHUNKED[:-20])
    refused = (head("/nowhere", "POST", size=9), head(size=9_000_000))
    for sent, _ in itertools.product((*partial, *refused, LIVE), range(20)):
        with connect(server.url) as connection:
            connection.sendall(sent)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_for(lambda: own.num_fds() <= before + 2)
    assert server.classify({"texts": ["good"]}).status_code == 200
