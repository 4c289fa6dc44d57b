"""SIGTERM with requests in progress over HTTP and gRPC: both drain side by side."""

import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.support.grpc_calls import call, channel, request
from tests.support.metric_values import total
from tests.support.processes import FRESH, free_port, serving
from tests.support.registries import wait_for

SECONDS = 60
LONG_MS = 50_000
wait_until = partial(wait_for, seconds=SECONDS / 2)


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=SECONDS).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("http_processes", [0, 2])
def test_http_and_grpc_and_the_admin_api_drain_side_by_side_and_lose_nothing(
    tiny_registry, tmp_path, http_processes
):
    hold, grpc_port, admin_port = tmp_path / "hold", free_port(), free_port()
    settings = {
        "program": "tests.support.slow_serving",
        "environ": {"SLOW_HOLD": str(hold)},
        "http_processes": http_processes,
        "grpc_port": grpc_port,
        "admin_port": admin_port,
        "admin_key": "correct-horse",
        "engine_timeout_ms": 120_000,
        "shutdown_delay_ms": 100,
        "drain_ms": 60_000,
    }
    with (
        serving(tiny_registry, **settings) as server,
        channel(grpc_port) as opened,
        ThreadPoolExecutor(8) as clients,
    ):
        hold.touch()
        over_http = [
            clients.submit(
                server.classify,
                {"texts": [f"good film {n}"], "deadline_ms": LONG_MS},
                headers=FRESH,
            )
            for n in range(4)
        ]
        infer = call(opened)
        over_grpc = [infer.future(request(f"bad plot {n}"), timeout=SECONDS) for n in range(4)]
        wait_until(lambda: total(server.metrics(), "sizewise_requests_in_flight") == 8)
        server.process.terminate()
        # The requests over HTTP are still in progress.
        wait_until(lambda: not accepts(grpc_port))
        wait_until(lambda: not accepts(admin_port))
        waiting = [each.done() for each in over_http + over_grpc]
        hold.unlink()
        statuses = [each.result(SECONDS).status_code for each in over_http]
        labels = [
            list(each.result(SECONDS).outputs[0].contents.bytes_contents) for each in over_grpc
        ]
        status = server.process.wait(SECONDS)

    assert waiting == [False] * 8
    assert statuses == [200] * 4
    assert labels == [[b"negative"]] * 4
    assert status == 0
