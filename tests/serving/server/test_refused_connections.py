"""Connections that are refused or ended early are counted by reason, and logged now and then."""

import asyncio
import json
import socket
from contextlib import ExitStack, suppress

import httpx
import pytest

from serving.observability.metrics import Metrics
from serving.server import refused_connections
from serving.server.refused_connections import RefusedConnections
from tests.support.processes import free_port, serving
from tests.support.raw_http import connect, head, read, request
from tests.support.registries import wait_for

KEY = "a-key-for-admin"
LIVE = b"".join(request(path="/health/live", method="GET", body=b""))
LIMITS = {"max_connections": 4, "max_connections_per_address": 3}
CLOSING = b"Connection: close\r\n"
STATES = {
    "slow_head": b"",
    "slow_body": head("/nowhere", size=100),
    "lingering": head("/nowhere", fields=CLOSING, size=100),
    "malformed": b"NONSENSE\r\n\r\n",
}


def counts(metrics):
    """Refused connections by reason."""
    name = "sizewise_connections_refused_total{"
    lines = [line for line in metrics.splitlines() if line.startswith(name)]
    return {line.split('"')[1]: float(line.split()[-1]) for line in lines}


def logged(server):
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "connections refused"]


@pytest.fixture(scope="module")
def impatient(tiny_registry):
    """(server, its URL and its admin's by name)"""
    port = free_port()
    with serving(
        tiny_registry,
        program="tests.support.impatient_serving",
        admin_port=port,
        admin_key=KEY,
    ) as running:
        yield running, {"inference": running.url, "admin": f"http://127.0.0.1:{port}"}


@pytest.mark.parametrize("of", ["inference", "admin"])
@pytest.mark.parametrize("reason", STATES)
def test_a_connection_that_is_ended_early_is_counted_and_logged(impatient, of, reason):
    server, urls = impatient
    before = counts(server.metrics())
    with connect(urls[of]) as connection:
        connection.sendall(STATES[reason])
        wait_for(lambda: counts(server.metrics())[reason] == before[reason] + 1)
    after = counts(server.metrics())
    assert {each for each in after if after[each] != before[each]} == {reason}
    port = int(urls[of].rpartition(":")[2])
    wait_for(lambda: (reason, port) in [(line["reason"], line["port"]) for line in logged(server)])


def test_connections_beyond_the_limits_are_counted(tiny_registry):
    with (
        serving(tiny_registry, host="::", **LIMITS) as server,
        ExitStack() as held,
    ):
        port = int(server.url.rpartition(":")[2])
        for address in ("127.0.0.1",) * 4 + ("::1",) * 3:
            connection = held.enter_context(socket.create_connection((address, port), timeout=30))
            connection.sendall(LIVE)
            read(connection)
        held.close()
        found = {}

        def seen():
            with suppress(httpx.TransportError):  # the last connections may still be closing
                found.update(counts(server.metrics()))
            return found

        wait_for(seen)
    assert {reason for reason in found if found[reason]} == {"too_many_from_address", "displaced"}


async def test_a_reason_is_logged_at_once_and_then_once_a_period_with_what_was_not(monkeypatch):
    lines = []
    monkeypatch.setattr(refused_connections, "log", lambda _event, **fields: lines.append(fields))
    monkeypatch.setattr(refused_connections, "_LOG_EVERY_S", 0.05)
    metrics = Metrics()
    refused = RefusedConnections(metrics, 8000)

    for _ in range(5):
        refused.count("malformed")
    refused.count("slow_head")
    at_once = list(lines)
    async with asyncio.timeout(30):
        while refused._unlogged:  # noqa: ASYNC110  a timer of the loop empties it
            await asyncio.sleep(0.01)
    refused.count("malformed")

    assert at_once == [
        {"reason": "malformed", "port": 8000, "connections": 1},
        {"reason": "slow_head", "port": 8000, "connections": 1},
    ]
    assert lines[2:] == [
        {"reason": "malformed", "port": 8000, "connections": 4},
        {"reason": "malformed", "port": 8000, "connections": 1},
    ]
    assert metrics.connections[("malformed",)] == [6]
