"""Requests that still run when the time to drain is over: refused, not cut, in every protocol."""

import json
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest

from tests.support.grpc_calls import call, channel, request
from tests.support.metric_values import total
from tests.support.processes import FRESH, free_port, serving
from tests.support.raw_http import connect, head, read
from tests.support.registries import wait_for

SECONDS = 60
KEY = "correct-horse"
TEXTS = ["good film"]
V2 = {"name": "text", "shape": [1], "datatype": "BYTES", "data": TEXTS}
# A whole request in one segment goes past ASGI, one whose body comes later does not.
BODIES = {
    "/v1/classify": {"texts": TEXTS, "deadline_ms": 50_000},
    "/predict": {"inputs": TEXTS[0]},
    "/models/tone": {"inputs": TEXTS},
    "/classify": {"input": TEXTS},
    "/v2/models/tone/infer": {"inputs": [V2]},
}


def logged(server, event):
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


@pytest.mark.parametrize("http_processes", [0, 2])
def test_what_still_runs_when_the_time_to_drain_is_over_is_refused(
    tiny_registry, tmp_path, http_processes
):
    hold, grpc_port, admin_port = tmp_path / "hold", free_port(), free_port()
    settings = {
        "program": "tests.support.slow_serving",
        "environ": {"SLOW_HOLD": str(hold)},
        "http_processes": http_processes,
        "grpc_port": grpc_port,
        "admin_port": admin_port,
        "admin_key": KEY,
        "default_deadline_ms": 50_000,
        "engine_timeout_ms": 120_000,
        "body_timeout_ms": 60_000,
        "shutdown_delay_ms": 100,
        "drain_ms": 500,
    }
    with (
        serving(tiny_registry, **settings) as server,
        channel(grpc_port) as opened,
        ThreadPoolExecutor(8) as clients,
        connect(server.url, timeout=SECONDS) as direct,
        connect(server.url, timeout=SECONDS) as unfinished,
        connect(f"http://127.0.0.1:{admin_port}", timeout=SECONDS) as admin,
    ):
        hold.touch()
        body = json.dumps(BODIES["/v1/classify"]).encode()
        direct.sendall(head(fields=b"Cache-Control: no-cache\r\n", size=len(body)) + body)
        unfinished.sendall(head(size=len(body)) + body[:-1])
        authorization = f"Authorization: Bearer {KEY}\r\n".encode()
        admin.sendall(head("/admin/models/tone/traffic", "PUT", authorization, 10) + b"{")
        others = [
            clients.submit(
                httpx.post, f"{server.url}{path}", json=body, headers=FRESH, timeout=SECONDS
            )
            for path, body in BODIES.items()
        ]
        infer = call(opened).future(request("bad plot"), timeout=SECONDS)
        running = len(BODIES) + 2
        wait_for(lambda: total(server.metrics(), "sizewise_requests_in_flight") == running)
        server.process.terminate()
        answers = [read(each) for each in (direct, unfinished, admin)]
        refused = [each.result() for each in others]
        with pytest.raises(grpc.RpcError) as failed:
            infer.result()
        status = server.process.wait(SECONDS)
        requests = [each for each in logged(server, "request") if each["method"] == "POST"]
        of_admin, log = logged(server, "admin refused"), server.log()
        hold.unlink()

    assert status == 0
    for code, headers, content in answers:
        assert (code, headers["retry-after"]) == (503, "1")
        assert headers["content-type"] == "application/problem+json"
        assert json.loads(content)["code"] == "draining"
    assert [(each.status_code, each.headers["retry-after"]) for each in refused] == (
        [(503, "1")] * len(BODIES)
    )
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert ("retry-after", "1") in failed.value.trailing_metadata()
    ended = [each for each in requests if each["status"] == 503]
    assert [each["code"] for each in ended] == ["draining"] * (running + 1)
    assert not [each for each in requests if each["status"] in {499, 500}]
    assert [each["code"] for each in of_admin] == ["draining"]
    assert "Exception in ASGI application" not in log
