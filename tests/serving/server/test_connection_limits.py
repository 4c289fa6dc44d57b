"""A flood of connections locks nobody out, and the loop neither spins nor ends."""

import socket
from contextlib import ExitStack
from types import SimpleNamespace

import httpx
import psutil
import pytest

from serving.observability.metrics import Metrics
from serving.server.connection import Connection
from serving.server.connection_limits import LimitedConnections
from serving.server.refused_connections import RefusedConnections
from serving.settings import Settings
from tests.support.processes import free_port, serving
from tests.support.raw_http import connect, head, read, request

DESCRIPTORS = 256
CLIENTS = 300
KEY = "a-key-for-admin"
LIVE = b"".join(request(path="/health/live", method="GET", body=b""))
CLASSIFY = b"".join(request())
STATES = {
    "nothing sent": b"",
    "half a head": LIVE[:20],
    "half a body": CLASSIFY[:-3],
    "answered": LIVE,
    "refused early": head("/nowhere", "POST", size=100),
}


class FakeConnection:
    """Has waited since `since`; None: its request is being answered."""

    def __init__(self, since, *, useful=True, has_request=False):
        self.since = since
        self.useful = useful
        self.has_request = has_request
        self.given_up = False

    @property
    def waits_since(self):
        return None if self.since is None else (self.useful, self.since)

    def give_up(self):
        self.given_up = not self.has_request
        return self.given_up


def limited(most, **settings):
    limits = LimitedConnections(Settings(**settings), RefusedConnections(Metrics(), 0))
    limits.most = most
    return limits


@pytest.fixture(scope="module", params=[0, 1], ids=["one process", "an HTTP process"])
def few(request, tiny_registry):
    """(server, admin's URL) with few file descriptors."""
    port = free_port()
    with serving(
        tiny_registry,
        program="tests.support.few_descriptors_serving",
        environ={"DESCRIPTORS": str(DESCRIPTORS)},
        admin_port=port,
        admin_key=KEY,
        http_processes=request.param,
    ) as running:
        yield running, f"http://127.0.0.1:{port}"


def cpu_s(server):
    own = psutil.Process(server.process.pid)
    return sum(sum(each.cpu_times()[:2]) for each in (own, *own.children()))


def answered(url, path="/health/live"):
    with httpx.Client(timeout=30, headers={"Authorization": f"Bearer {KEY}"}) as client:
        return client.get(f"{url}{path}").status_code


@pytest.mark.parametrize("state", STATES)
def test_more_connections_than_descriptors_keep_nobody_else_from_being_answered(few, state):
    server, admin = few
    with ExitStack() as held:
        for _ in range(CLIENTS):
            connection = held.enter_context(connect(server.url))
            connection.sendall(STATES[state])
        statuses = [answered(server.url) for _ in range(5)]
        classified = server.classify({"texts": ["good"]}).status_code
        of_admin = answered(admin, "/admin/models")
        before_s = cpu_s(server)
        psutil.cpu_percent(0.5)
        busy_s = cpu_s(server) - before_s

    assert (statuses, classified, of_admin) == ([200] * 5, 200, 200)
    assert busy_s < 0.4
    assert server.process.poll() is None


def test_a_burst_of_more_connections_than_descriptors_resets_none_that_asks(few):
    server, _ = few
    asking = []
    with ExitStack() as held:
        for number in range(2 * CLIENTS):
            connection = held.enter_context(connect(server.url))
            if number % 30 == 29:
                connection.sendall(LIVE)
                asking.append(connection)
        assert [read(each)[0] for each in asking] == [200] * 20


def test_one_that_was_answered_lately_is_kept_before_one_that_never_asked(tiny_registry):
    patient = "tests.support.patient_serving"
    with (
        serving(tiny_registry, program=patient, max_connections=2) as server,
        connect(server.url) as used,
    ):
        used.sendall(LIVE)
        assert read(used)[0] == 200
        with connect(server.url), connect(server.url) as newest:
            newest.sendall(LIVE)
            assert read(newest)[0] == 200
            used.sendall(LIVE)
            assert read(used)[0] == 200


def test_one_that_closes_is_given_up_first_but_not_with_an_answer_to_send():
    def waits_since(unsent_bytes):
        transport = SimpleNamespace(
            is_closing=lambda: True, get_write_buffer_size=lambda: unsent_bytes
        )
        reader = SimpleNamespace(since=5.0)
        loop = SimpleNamespace(time=lambda: 5.1)
        closing = SimpleNamespace(transport=transport, _reader=reader, cycle=None, loop=loop)
        return Connection.waits_since.fget(closing)

    assert waits_since(0) == (False, 0.0)
    assert waits_since(100) == (True, 5.0)


@pytest.mark.parametrize("http_processes", [0, 1])
def test_too_few_descriptors_for_any_connection_stop_the_start(tiny_registry, http_processes):
    with serving(
        tiny_registry,
        wait_ready=False,
        program="tests.support.few_descriptors_serving",
        environ={"DESCRIPTORS": "64"},
        http_processes=http_processes,
    ) as server:
        status = server.process.wait(60)
        log = server.log()

    assert status == 2
    assert "sizewise cannot start: the limit of file descriptors is 64" in log.splitlines()[-1]


def test_connections_to_admin_leave_some_for_the_others(few):
    server, admin = few
    with ExitStack() as held:
        for _ in range(CLIENTS):
            held.enter_context(connect(admin))
        assert answered(server.url) == 200
        assert answered(admin, "/admin/models") == 200


def test_an_address_has_no_more_connections_than_the_setting(tiny_registry):
    with serving(tiny_registry, max_connections_per_address=3, host="::") as server:
        with ExitStack() as held:
            for _ in range(3):
                connection = held.enter_context(connect(server.url))
                connection.sendall(LIVE)
                assert read(connection)[0] == 200
            fourth = held.enter_context(connect(server.url))
            fourth.sendall(LIVE)
            status, headers, _ = read(fourth)
            assert (status, headers["retry-after"], fourth.recv(1)) == (429, "1", b"")
            port = int(server.url.rpartition(":")[2])
            other = held.enter_context(socket.create_connection(("::1", port), timeout=10))
            other.sendall(LIVE)
            assert read(other)[0] == 200
        assert answered(server.url) == 200


def test_what_waits_in_vain_is_given_up_before_the_idle_ones_and_the_oldest_first():
    limits = limited(3)
    idle, old, young = FakeConnection(1), FakeConnection(5, useful=False), FakeConnection(9)
    limits.connections.update([idle, old, young])
    for victim in (old, idle, young):
        newest = FakeConnection(10)
        limits.connections.add(newest)
        assert limits.make_room(newest)
        assert victim.given_up
        limits.connections.discard(victim)
        newest.since = None


def test_requests_in_progress_and_those_that_have_arrived_are_not_given_up():
    limits = limited(2)
    busy, arrived = FakeConnection(None), FakeConnection(1, has_request=True)
    newest = FakeConnection(2)
    limits.connections.update([busy, arrived, newest])
    assert not limits.make_room(newest)
    assert not busy.given_up


def test_a_connection_that_was_used_after_it_was_chosen_is_kept():
    limits = limited(20)
    connections = [FakeConnection(each) for each in range(40)]
    limits.connections.update(connections)
    newest = FakeConnection(50)
    limits.connections.add(newest)
    assert limits.make_room(newest)
    connections[1].since = 60
    assert limits.make_room(newest)
    assert [each for each, one in enumerate(connections) if one.given_up] == [0, 2]


def test_a_network_of_ipv6_counts_as_one_address_and_mapped_ipv4_as_ipv4():
    limits = limited(9, max_connections_per_address=1)
    assert limits.enter(("2001:db8::1", 1))
    assert not limits.enter(("2001:db8::2", 2))
    assert limits.enter(("2001:db8:0:1::1", 3))
    assert limits.enter(("::ffff:192.0.2.1", 4))
    assert not limits.enter(("192.0.2.1", 5))
    for port, address in enumerate(("2001:db8::1", "2001:db8::2")):
        limits.leave((address, port))
    assert limits.enter(("2001:db8::3", 6))
