"""Clients that do not read their answers hold neither a place nor much memory, nor for long."""

import json
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import psutil
import pytest

from serving.server import slow_readers
from serving.server.slow_readers import Reader, Readers
from tests.support.api_keys import write_callers
from tests.support.fake_loop import FakeLoop
from tests.support.processes import serving
from tests.support.raw_http import connect, head, read, request
from tests.support.registries import wait_for

MOST = 2
LIVE = b"".join(request(path="/health/live", method="GET", body=b""))
CLASSIFY = b"".join(request())
PREDICT = b"".join(request(path="/predict", body=b'{"inputs": "good"}'))
# 1.4 MB each, and 6 MB of tokens: more than the kernel holds.
FILES = b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: here\r\n\r\n" * 5
TEXTS = json.dumps({"inputs": ["a " * 1000] * 100}).encode()


class FakeTransport:
    """Holds `left` bytes, none of them in the kernel."""

    def __init__(self, left):
        self.left = left
        self.looks = 0

    def get_write_buffer_size(self):
        self.looks += 1
        return self.left

    def get_extra_info(self, _name):
        return self

    def fileno(self):
        raise OSError


class Watched:
    """A client that has this much to read."""

    def __init__(self, loop, readers, left):
        self.ends = []
        self.transport = FakeTransport(left)
        self.reader = Reader(loop, self.transport, readers, self.ends.append)


@pytest.fixture
def loop():
    return FakeLoop()


def slowly(server, sent):
    """A connection that takes little at a time, over which this was sent."""
    address = urlsplit(server.url)
    connection = socket.socket()
    connection.settimeout(30)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((address.hostname, address.port))
    connection.sendall(sent)
    return connection


def tokens(fields=b""):
    return head("/tokenize", fields=fields, size=len(TEXTS)) + TEXTS


def begun(connection):
    """Wait for the first byte of an answer, and leave it."""
    assert connection.recv(1, socket.MSG_PEEK)


def all_of(connection):
    """What comes until the end."""
    said = b""
    while part := connection.recv(1 << 20):
        said += part
    return said


def resident_bytes(server):
    """Memory of the process that has the connections."""
    own = psutil.Process(server.process.pid)
    fronts = [each for each in own.children() if "serving.server.frontend" in each.cmdline()]
    return (fronts or [own])[0].memory_info().rss


def refused(server, reason):
    name = f'sizewise_connections_refused_total{{reason="{reason}"}} '
    return next(float(x.split()[-1]) for x in server.metrics().splitlines() if x.startswith(name))


@pytest.fixture(scope="module", params=[0, 1], ids=["one process", "an HTTP process"])
def small(request, tiny_registry):
    """A server for few requests."""
    with serving(tiny_registry, max_requests=MOST, http_processes=request.param) as running:
        yield running


@pytest.fixture(scope="module")
def impatient(tiny_registry):
    with serving(tiny_registry, program="tests.support.impatient_serving") as running:
        yield running


@pytest.mark.parametrize(
    "sent",
    [tokens(), FILES + PREDICT],
    ids=["in pieces", "files and what is behind them"],
)
def test_answers_that_nobody_reads_take_no_room(small, sent):
    resident = resident_bytes(small)
    with ExitStack() as held:
        for _ in range(2 * MOST):
            begun(held.enter_context(slowly(small, sent)))
        time.sleep(0.5)
        statuses = [small.classify({"texts": ["good"]}).status_code for _ in range(5)]
        grown = resident_bytes(small) - resident
    assert statuses == [200] * 5
    assert grown < 64_000_000


def test_a_stream_counts_towards_its_callers_limit_until_it_ends(tiny_registry, tmp_path):
    headers = write_callers(tmp_path / "callers.json", batch={"max_requests": 1}, other={})
    fields = f"Authorization: {headers['batch']['Authorization']}\r\n".encode()

    def status(server, caller="batch"):
        return server.classify({"texts": ["good"]}, headers=headers[caller]).status_code

    with serving(tiny_registry, callers=tmp_path / "callers.json") as server:
        with slowly(server, tokens(fields=fields)) as connection:
            begun(connection)
            assert [status(server), status(server, "other")] == [429, 200]
        wait_for(lambda: status(server) == 200)
        with slowly(server, tokens(fields=fields + b"Connection: close\r\n")) as connection:
            assert all_of(connection).endswith(b"0\r\n\r\n")
        wait_for(lambda: status(server) == 200)


def test_a_request_behind_an_answer_that_is_not_read_is_answered_once_it_is(server):
    with slowly(server, FILES + LIVE + CLASSIFY) as connection:
        begun(connection)
        time.sleep(0.5)
        found = [read(connection) for _ in range(7)]
        connection.sendall(CLASSIFY)
        found.append(read(connection))
    assert [status for status, _, _ in found] == [200] * 8
    assert len({content for _, _, content in found[:5]}) == 1


def test_clients_that_leave_in_the_middle_of_pipelined_answers_are_no_bug(server):
    for _ in range(10):
        with slowly(server, FILES + PREDICT) as connection:
            begun(connection)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert server.classify({"texts": ["good"]}).status_code == 200
    assert '"event":"bug"' not in server.log()


def test_one_that_reads_too_slowly_is_given_up_and_one_that_reads_is_not(impatient):
    before = refused(impatient, "slow_reader")
    sent = tokens(fields=b"Connection: close\r\n")
    with (
        slowly(impatient, sent) as idle,
        slowly(impatient, sent) as slow,
        connect(impatient.url, timeout=60) as quick,
        ThreadPoolExecutor(1) as other,
    ):
        quick.sendall(sent)
        read_by_quick = other.submit(all_of, quick)
        for each in (idle, slow):
            begun(each)

        def both_are_given_up():
            with suppress(ConnectionError):
                slow.recv(1000)
            return refused(impatient, "slow_reader") == before + 2

        wait_for(both_are_given_up)
        assert read_by_quick.result().endswith(b"\r\n0\r\n\r\n")
    assert '"event":"connections refused","reason":"slow_reader"' in impatient.log()


def test_a_client_may_read_for_as_long_as_it_reads_enough(loop):
    watched = Watched(loop, Readers(9), 10_000_000)
    for _ in range(30):
        loop.wait(9)
        watched.transport.left -= slow_readers._LEAST_BYTES
        loop.wait(1)
    assert watched.ends == []
    loop.wait(9)
    watched.transport.left -= slow_readers._LEAST_BYTES - 1
    loop.wait(2)
    assert watched.ends == [True]


def test_an_answer_in_parts_is_read_at_the_same_rate(loop):
    fast, slow = (Watched(loop, Readers(9), 100_000) for _ in range(2))
    for second in range(30):
        for each, seconds in ((fast, 3), (slow, 5)):
            if second % seconds == 0:
                each.transport.left = 0
                each.reader.resume()
                each.transport.left = 100_000
                each.reader.pause()
        loop.wait(1)
    assert (fast.ends, slow.ends) == ([], [True])


def test_one_that_is_waited_for_already_keeps_what_it_has_read(loop):
    watched = Watched(loop, Readers(9), 10_000_000)
    loop.wait(9)
    watched.transport.left -= slow_readers._LEAST_BYTES
    watched.reader.pause()
    loop.wait(2)
    assert watched.ends == []


def test_one_that_has_read_everything_is_watched_no_more(loop):
    watched = Watched(loop, Readers(9), 100_000)
    watched.transport.left = 0
    watched.reader.resume()
    assert watched.reader.since is None
    loop.wait(60)
    assert watched.ends == [False]


def test_beyond_the_bound_of_bytes_the_one_waited_for_longest_is_given_up(loop):
    readers = Readers(9)
    half = slow_readers.MOST_BYTES // 2
    first, second = Watched(loop, readers, half), Watched(loop, readers, half)
    young = Watched(loop, readers, half)
    assert first.ends == second.ends == young.ends == []
    loop.wait(2)
    last = Watched(loop, readers, 0)
    assert (first.ends, second.ends, young.ends, last.ends) == ([True], [], [], [])


def test_beyond_the_bound_of_clients_the_one_waited_for_longest_is_given_up(loop):
    readers = Readers(2)
    first, second = Watched(loop, readers, 1), Watched(loop, readers, 1)
    first.reader.resume()
    first.reader.pause()
    loop.wait(2)
    third = Watched(loop, readers, 1)
    assert (first.ends, second.ends, third.ends) == ([], [True], [])


def test_below_the_bounds_nobody_looks_at_the_other_clients(loop):
    readers = Readers(1000)
    waiting = [Watched(loop, readers, 1000) for _ in range(100)]
    before = [each.transport.looks for each in waiting]
    Watched(loop, readers, 1000)
    assert [each.transport.looks for each in waiting] == before


def test_what_was_read_meanwhile_does_not_count_towards_the_bound_of_bytes(loop):
    readers = Readers(9)
    half = slow_readers.MOST_BYTES // 2
    reading, other = Watched(loop, readers, half), Watched(loop, readers, half)
    loop.wait(2)
    reading.transport.left = 1000
    third = Watched(loop, readers, half - 1000)
    assert [len(each.ends) for each in (reading, other, third)] == [0, 0, 0]
    fourth = Watched(loop, readers, half)
    assert [len(each.ends) for each in (reading, other, third, fourth)] == [1, 1, 0, 0]
