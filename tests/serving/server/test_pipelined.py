"""Many requests that one client sends at once, without waiting for answers."""

import contextlib
import socket
import threading

import psutil
import pytest

from serving.server.pipelined import MOST_AT_ONCE, VERSION, Pipelined
from serving.server.turns import Turns
from tests.support.processes import free_port, serving
from tests.support.raw_http import BODY, connect, head, read, request

CLASSIFY = b"".join(request())
CHUNKED = head() + b"%x;a=b\r\n%b\r\n0\r\nT: r\r\n\r\n" % (len(BODY), BODY)
LIVE = b"".join(request(path="/health/live", method="GET", body=b""))
NOWHERE = b"GET /nowhere HTTP/1.1\r\nHost:\r\n\r\n"
CLIENTS, READ_BYTES = 40, 250_000
MEGABYTE = 1_000_000
KEY = "a-key-for-admin"


def parts(data):
    pipelined, found = Pipelined(data, Turns(), lambda _: None), []
    while pipelined.more:
        found.append(pipelined.next_part())
    return found


@pytest.mark.parametrize("sent", [NOWHERE, CLASSIFY, VERSION, b" " * 5000])
def test_the_parts_of_what_was_read_are_all_of_it_and_hold_few_requests(sent):
    whole = sent * 50 + b"GET / HT"

    assert b"".join(parts(whole)) == whole
    assert max(each.count(VERSION) for each in parts(whole)) <= MOST_AT_ONCE


@pytest.mark.parametrize("sent", [CLASSIFY, CHUNKED, LIVE, NOWHERE, CLASSIFY + LIVE + CHUNKED])
def test_however_many_requests_come_at_once_each_is_answered_in_order(server, sent):
    count = 60
    with connect(server.url, timeout=60) as connection:
        sender = threading.Thread(target=connection.sendall, args=(sent * count,))
        sender.start()
        expected = [404 if one is NOWHERE else 200 for one in (sent,)] * sent.count(b" HTTP/1.1")
        assert [read(connection)[0] for _ in expected * count] == expected * count
        sender.join()


def test_what_follows_many_requests_and_is_no_http_is_refused_after_their_answers(server):
    with connect(server.url, timeout=60) as connection:
        connection.sendall(LIVE * 30 + b"nonsense\r\n\r\n" + LIVE * 30)
        assert [read(connection)[0] for _ in range(31)] == [200] * 30 + [400]
        assert connection.recv(1) == b""


def test_the_last_of_many_requests_may_end_the_connection(server):
    with connect(server.url, timeout=60) as connection:
        connection.sendall(LIVE * 30)
        connection.shutdown(socket.SHUT_WR)
        assert [read(connection)[0] for _ in range(30)] == [200] * 30
        assert connection.recv(1) == b""


@pytest.mark.parametrize("of_admin", [False, True], ids=["inference", "admin"])
def test_clients_that_pipeline_without_reading_keep_nobody_out_and_take_little_memory(
    tiny_registry, of_admin
):
    admin = free_port()
    with serving(tiny_registry, admin_port=admin, admin_key=KEY) as server:
        url = f"http://127.0.0.1:{admin}" if of_admin else server.url
        own = psutil.Process(server.process.pid)
        with connect(server.url, timeout=60) as probe, contextlib.ExitStack() as held:
            probe.sendall(LIVE)
            assert read(probe)[0] == 200
            before = own.memory_info().rss
            for _ in range(CLIENTS):
                deaf = held.enter_context(connect(url))
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                deaf.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    deaf.send(NOWHERE * (READ_BYTES // len(NOWHERE)))
            for _ in range(20):
                probe.sendall(LIVE)
                assert read(probe)[0] == 200
            # Parsed, all of that would take 7 MB for each client.
            assert own.memory_info().rss < before + CLIENTS * MEGABYTE + 20 * MEGABYTE
