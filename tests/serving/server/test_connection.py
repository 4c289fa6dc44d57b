"""No request is lost because an idle connection was being closed."""

import os
import signal
import time

import psutil
import pytest

from tests.support.processes import free_port, serving
from tests.support.raw_http import connect, read, request

KEY = "a-key-for-admin"
KEEP_ALIVE_S = 1
LIVE = b"".join(request(path="/health/live", method="GET", body=b""))
RESCAN = b"".join(
    request(f"Authorization: Bearer {KEY}\r\n".encode(), path="/admin/rescan", body=b"")
)
CLASSIFY = b"".join(request())


def processes(server):
    """The server's process, and its HTTP processes."""
    own = psutil.Process(server.process.pid)
    return [own, *own.children()]


def stop(server):
    for each in processes(server):
        each.suspend()


def go_on(server):
    for each in processes(server):
        each.resume()


@pytest.fixture(params=[0, 2], ids=["one process", "HTTP processes"])
def short(request, tiny_registry):
    """(server, its admin API's URL); idle connections are kept for a second."""
    port = free_port()
    told = {"keep_alive_s": KEEP_ALIVE_S, "shutdown_delay_ms": 0, "admin_port": port}
    with serving(tiny_registry, admin_key=KEY, http_processes=request.param, **told) as running:
        yield running, f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("sent", [CLASSIFY, LIVE], ids=["direct", "ASGI"])
def test_a_response_says_how_long_the_connection_is_kept(server, sent):
    with connect(server.url) as connection:
        connection.sendall(sent)
        _, headers, _ = read(connection)

    assert headers["connection"] == "keep-alive"
    assert headers["keep-alive"] == "timeout=620"


def test_an_idle_connection_outlives_what_was_said_and_then_ends(short):
    server, admin = short
    for url, sent in ((server.url, CLASSIFY), (server.url, LIVE), (admin, RESCAN)):
        with connect(url) as connection:
            connection.sendall(sent)
            status, headers, _ = read(connection)
            assert (status, headers["keep-alive"]) == (200, f"timeout={KEEP_ALIVE_S}")
            time.sleep(KEEP_ALIVE_S)
            connection.sendall(sent)
            assert read(connection)[0] == 200
            began = time.monotonic()
            assert connection.recv(1) == b""
            assert time.monotonic() - began > KEEP_ALIVE_S


def test_a_request_that_the_kernel_has_accepted_when_the_time_is_over_is_answered(short):
    server, admin = short
    with connect(server.url) as one, connect(server.url) as two, connect(admin) as three:
        asked = ((one, CLASSIFY), (two, LIVE), (three, RESCAN))
        for connection, sent in asked:
            connection.sendall(sent)
            assert read(connection)[0] == 200
        stop(server)
        for connection, sent in asked:
            connection.sendall(sent)
        time.sleep(KEEP_ALIVE_S + 1.5)
        go_on(server)
        assert [read(connection)[0] for connection, _ in asked] == [200] * 3


def test_a_request_that_arrives_while_the_server_drains_is_answered_and_told_to_close(short):
    server, admin = short
    with connect(server.url) as one, connect(server.url) as two, connect(admin) as three:
        asked = ((one, CLASSIFY), (two, LIVE), (three, RESCAN))
        for connection, sent in asked:
            connection.sendall(sent)
            assert read(connection)[0] == 200
        stop(server)
        for connection, sent in asked:
            connection.sendall(sent)
        os.kill(server.process.pid, signal.SIGTERM)
        go_on(server)
        answers = [read(connection)[:2] for connection, _ in asked]
        ends = [connection.recv(1) for connection, _ in asked]

    assert [status for status, _ in answers] == [200] * 3
    told = [headers["connection"] for _, headers in answers[:2]]
    # An HTTP process may answer before the engine process has told it to drain.
    assert told == ["close"] * 2 or len(processes(server)) > 1
    assert ends == [b""] * 3
    assert server.process.wait(20) == 0


@pytest.mark.parametrize("begun", [0, 30], ids=["connected", "head begun"])
def test_a_first_request_that_is_on_its_way_when_the_server_drains_is_answered(short, begun):
    server, _ = short
    with connect(server.url) as one, connect(server.url) as two:
        for connection, sent in ((one, CLASSIFY), (two, LIVE)):
            connection.sendall(sent[:begun])
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.6)
        for connection, sent in ((one, CLASSIFY), (two, LIVE)):
            connection.sendall(sent[begun:])
            status, headers, _ = read(connection)
            assert (status, headers["connection"]) == (200, "close")
    assert server.process.wait(20) == 0


def test_a_refused_body_that_has_arrived_leaves_the_connection_its_whole_time(tiny_registry):
    with (
        serving(tiny_registry, keep_alive_s=12, max_body_bytes=1024) as server,
        connect(server.url, timeout=15) as connection,
    ):
        head, body = request(body=b" " * 4096)
        connection.sendall(head)
        assert read(connection)[0] == 413
        connection.sendall(body)
        time.sleep(11)
        connection.sendall(CLASSIFY)
        assert read(connection)[0] == 200
