import asyncio
import errno
import os
import socket
from dataclasses import replace

import httpx
import pytest
import uvloop

from serving.errors import StartError
from serving.server import listener as module
from serving.server.listener import open_listener, shares
from tests.support.processes import free_port, serving

CLIENTS = 64


def test_clients_that_connect_at_once_are_accepted_within_a_few_iterations_of_the_loop():
    """The iterations of a busy server take long, and a client waits for all of them."""

    async def iterations(listeners):
        accepted = []

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport):
                accepted.append(transport)

        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(Protocol, sock=each) for each in listeners]
        passed = 0
        async with asyncio.timeout(10):
            while len(accepted) < CLIENTS:
                passed += 1
                await asyncio.sleep(0)
        for each in (*servers, *accepted):
            each.close()
        return passed

    with open_listener("127.0.0.1", 0) as listener:
        clients = [socket.create_connection(listener.getsockname()) for _ in range(CLIENTS)]
        passed = uvloop.run(iterations(shares(listener)))
    for client in clients:
        client.close()
    assert passed <= CLIENTS / 8


def test_copies_of_an_inherited_listener_leave_it_non_blocking_for_all_who_share_it():
    with open_listener("127.0.0.1", free_port()) as listener:
        inherited = socket.socket(fileno=os.dup(listener.fileno()))
        for each in shares(inherited):
            with each:
                assert not os.get_blocking(listener.fileno())


def without_ipv6(monkeypatch, number, *, at):
    """Make IPv6 fail as on a kernel without it: when the socket is made, or when it is bound."""

    class Socket(socket.socket):
        def __init__(self, family, *more, **named):
            if at == "socket" and family == socket.AF_INET6:
                raise OSError(number, os.strerror(number))
            super().__init__(family, *more, **named)

        def bind(self, address):
            if at == "bind" and self.family == socket.AF_INET6:
                raise OSError(number, os.strerror(number))
            super().bind(address)

    monkeypatch.setattr(module.socket, "socket", Socket)


def answers(listener, family, host):
    """Whether it accepts a connection to this address."""
    with socket.socket(family) as client:
        client.settimeout(5)
        return client.connect_ex((host, listener.getsockname()[1])) == 0


def test_the_ipv6_wildcard_is_every_address_of_both_families():
    with open_listener("::", 0) as listener:
        assert answers(listener, socket.AF_INET6, "::1")
        assert answers(listener, socket.AF_INET, "127.0.0.1")


def test_one_ipv6_address_is_that_one_alone():
    with open_listener("::1", 0) as listener:
        assert answers(listener, socket.AF_INET6, "::1")
        assert not answers(listener, socket.AF_INET, "127.0.0.1")


@pytest.mark.parametrize(
    ("number", "at"), [(errno.EAFNOSUPPORT, "socket"), (errno.EADDRNOTAVAIL, "bind")]
)
def test_without_ipv6_the_wildcard_is_every_address_of_ipv4(monkeypatch, number, at):
    without_ipv6(monkeypatch, number, at=at)
    with open_listener("::", 0) as listener:
        assert listener.family == socket.AF_INET
        assert answers(listener, socket.AF_INET, "127.0.0.1")
    with pytest.raises(StartError, match=r"SIZEWISE_HOST, SIZEWISE_PORT: \[::1\]:80 cannot"):
        open_listener("::1", 80)


def test_a_taken_port_of_the_wildcard_is_no_lack_of_ipv6():
    with open_listener("::", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(StartError, match="Address already in use"):
            open_listener("::", port)


@pytest.mark.parametrize("http_processes", [0, 2])
def test_a_server_on_the_wildcard_answers_over_both_families(tiny_registry, http_processes):
    admin, grpc = free_port(), free_port()
    told = {"admin_port": admin, "admin_key": "a-key-for-admin", "grpc_port": grpc}
    with serving(tiny_registry, host="::", http_processes=http_processes, **told) as server:
        for host in ("127.0.0.1", "[::1]"):
            url = f"http://{host}:{server.url.rpartition(':')[2]}"
            answer = replace(server, url=url).classify({"texts": ["good"]})
            assert answer.status_code == 200
            assert httpx.get(f"http://{host}:{admin}/admin/models", timeout=30).status_code == 401
            with socket.create_connection((host.strip("[]"), grpc), timeout=5):
                pass
        assert "http://[::]:" in server.log()
