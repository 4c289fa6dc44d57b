import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from tests.support.metric_values import total
from tests.support.processes import FRESH, serving
from tests.support.registries import wait_for

PROBLEM = "application/problem+json"


SLOW = {
    "program": "tests.support.slow_serving",
    "environ": {"SLOW_BATCH_S": "0.05"},
    "max_batch_tokens": 64,
    "max_queue_texts": 64,
    "max_texts": 64,
}


def burst(server, count, **options):
    async def send():
        async with httpx.AsyncClient(base_url=server.url, timeout=30, headers=FRESH) as http:
            body = {"texts": ["good film"] * 64, **options}
            return await asyncio.gather(
                *(http.post("/v1/classify", json=body) for _ in range(count))
            )

    return asyncio.run(send())


def test_overload_is_429_with_a_time_to_retry_and_what_fits_is_answered(tiny_registry):
    with serving(tiny_registry, **SLOW) as server:
        responses = burst(server, 20, variant="wide")
        page = server.metrics()

    refused = [r for r in responses if r.status_code == 429]
    answered = [r for r in responses if r.status_code == 200]
    assert len(refused) + len(answered) == 20
    assert refused
    assert answered
    assert all(int(r.headers["Retry-After"]) >= 1 for r in refused)
    assert {r.json()["code"] for r in refused} == {"overloaded"}
    assert total(page, "sizewise_rejected_total", reason="overloaded") == len(refused)
    assert total(page, "sizewise_texts_total") == 64 * len(answered)
    assert total(page, "sizewise_queue_texts") == 0


def test_more_requests_than_the_limit_are_refused_before_their_body_is_read(tiny_registry):
    slow = SLOW | {"max_queue_texts": 2000, "max_requests": 2}
    with serving(tiny_registry, **slow) as server:
        responses = burst(server, 20, variant="wide")

    refused = [r for r in responses if r.status_code == 429]
    assert len([r for r in responses if r.status_code == 200]) == 20 - len(refused)
    assert {r.json()["limit"] for r in refused} == {2}


def head_of(connection):
    said = b""
    while b"\r\n\r\n" not in said:
        received = connection.recv(65_536)
        assert received, f"the connection ended after {said!r}"
        said += received
    return said


@contextmanager
def full(registry):
    """(server, its only request, connection) of a server that takes one request at a time."""
    slow = SLOW | {"max_queue_texts": 2000, "max_texts": 1000, "max_requests": 1}
    with serving(registry, **slow) as server, ThreadPoolExecutor(1) as other:
        body = {"texts": ["good film"] * 1000}  # takes a second
        first = other.submit(server.classify, body, headers=FRESH)
        wait_for(lambda: total(server.metrics(), "sizewise_requests_in_flight") == 1)
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        with socket.create_connection(address, timeout=5) as connection:
            yield server, first, connection


@pytest.mark.parametrize("closing", [False, True])
def test_a_refusal_comes_before_the_body_and_leaves_the_connection_usable(tiny_registry, closing):
    with full(tiny_registry) as (server, first, connection):
        more = b"Connection: close\r\n" if closing else b""
        connection.sendall(
            b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\n"
            b"Content-Type: application/json\r\nContent-Length: 20\r\n" + more + b"\r\n{"
        )
        refused = head_of(connection)
        assert refused.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
        assert b"retry-after: " in refused
        assert b"x-request-id: mine\r\n" in refused
        assert b'"limit":1' in refused
        if closing:
            assert b"connection: close" in refused
            assert connection.recv(100) == b""
        else:
            connection.sendall(b" " * 19 + b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert head_of(connection).startswith(b"HTTP/1.1 200")
        assert first.result().status_code == 200
        page = server.metrics()

    assert total(page, "sizewise_rejected_total", reason="overloaded") == 1
    assert total(page, "sizewise_requests_total", endpoint="/v1/classify", code="429") == 1


def test_any_number_of_requests_behind_one_another_is_refused(tiny_registry):
    count = 500
    with full(tiny_registry) as (_, first, connection):
        connection.sendall(
            b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
            + b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}" * count
        )
        said = b""
        while said.count(b"HTTP/1.1 ") <= count:
            received = connection.recv(65536)
            assert received, f"the connection ended after {said.count(b'HTTP/1.1 ')} answers"
            said += received
        assert first.result().status_code == 200

    assert said.startswith(b"HTTP/1.1 200 ")


def test_auto_goes_to_a_smaller_variant_before_it_refuses(tiny_registry):
    with serving(tiny_registry, **SLOW) as server:
        results = [
            result
            for response in burst(server, 20)
            if response.status_code == 200
            for result in response.json()["results"]
        ]
        pinned = [
            result
            for response in burst(server, 20, allow_degraded=False)
            if response.status_code == 200
            for result in response.json()["results"]
        ]
        page = server.metrics()

    degraded = [result for result in results if result["degraded"]]
    assert {result["variant"] for result in degraded} == {"tiny"}
    assert total(page, "sizewise_degraded_total", variant="tiny") == len(degraded)
    assert {result["variant"] for result in pinned} == {"wide"}
