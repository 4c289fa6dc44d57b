import json
import shutil
import socket
import threading
import time

import httpx
import pytest

from tests.support.processes import free_port, serving

PROBLEM = "application/problem+json"


def test_a_body_that_does_not_arrive_is_given_up_in_time(tiny_registry):
    with serving(tiny_registry, body_timeout_ms=200) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(
                b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b'Content-Length: 100\r\n\r\n{"texts"'
            )
            answer = b""
            while not answer.endswith(b"}") and (part := connection.recv(65536)):
                answer += part

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"body_timeout" in answer


@pytest.mark.parametrize("http_processes", [0, 2])
def test_sigterm_under_load_answers_all_that_was_accepted_and_exits_with_0(
    tiny_registry, http_processes
):
    settings = {"shutdown_delay_ms": 3000, "http_processes": http_processes}
    with serving(tiny_registry, **settings) as server:
        answered, lost = [], []

        def client(number):
            with httpx.Client(base_url=server.url, timeout=30) as http:
                for turn in range(100_000):
                    try:
                        answered.append(
                            http.post(
                                "/v1/classify",
                                json={"texts": ["good film"] * (1 + number % 3)},
                                headers={"X-Request-Id": f"{number}-{turn}"},
                            )
                        )
                    except httpx.ConnectError:
                        return
                    except httpx.TransportError as error:
                        lost.append((f"{number}-{turn}", repr(error)))
                        return

        threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        server.process.terminate()
        not_ready = httpx.get(f"{server.url}/health/ready")
        while not_ready.status_code == 200:
            not_ready = httpx.get(f"{server.url}/health/ready")
        status = server.process.wait(20)
        for thread in threads:
            thread.join(30)
        lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]

    accepted = {line["request_id"] for line in lines if line.get("path") == "/v1/classify"}
    assert status == 0
    assert (not_ready.status_code, not_ready.json()["code"]) == (503, "draining")
    assert len(answered) > 50
    assert {response.status_code for response in answered} == {200}
    assert accepted == {response.headers["X-Request-Id"] for response in answered}
    assert lost == []


def test_before_the_models_are_loaded_the_server_is_live_and_not_ready(tiny_registry):
    slow = {"program": "tests.support.slow_serving", "environ": {"SLOW_LOAD_S": "2"}}
    with serving(tiny_registry, wait_ready=False, **slow) as server:
        for _ in range(200):
            try:
                live = httpx.get(f"{server.url}/health/live")
                break
            except httpx.TransportError:
                time.sleep(0.05)
        ready = httpx.get(f"{server.url}/health/ready")
        early = server.classify({"texts": ["good"]})

    assert live.status_code == 200
    assert (ready.status_code, early.status_code) == (503, 503)
    assert early.json()["code"] == "not_ready"
    assert early.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"SIZEWISE_REGISTRY": "/nowhere"}, "SIZEWISE_REGISTRY"),
        ({"SIZEWISE_PROT": "80"}, "SIZEWISE_PROT is not a setting"),
        ({"SIZEWISE_DEVICE": "cuda"}, "SIZEWISE_DEVICE"),
    ],
)
def test_a_server_that_cannot_start_says_why_in_one_sentence_and_exits_with_2(
    tiny_registry, settings, named
):
    with serving(tiny_registry, wait_ready=False, environ=settings) as server:
        status = server.process.wait(30)
        last = server.log().splitlines()[-1]

    assert status == 2
    assert last.startswith("sizewise cannot start: ")
    assert named in last


def test_a_port_that_is_taken_is_named(tiny_registry):
    with socket.socket() as taken:
        port = free_port()
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with serving(tiny_registry, wait_ready=False, port=port) as server:
            status = server.process.wait(30)
            log = server.log()

    assert status == 2
    assert "SIZEWISE_PORT" in log


def test_altered_bundles_are_refused_at_the_start(tiny_registry, tmp_path):
    shutil.copytree(tiny_registry, tmp_path / "registry")
    for model in (tmp_path / "registry").rglob("model.onnx"):
        model.write_bytes(model.read_bytes() + b"x")
    with serving(tmp_path / "registry", wait_ready=False) as server:
        status = server.process.wait(30)
        log = server.log()

    assert status == 2
    assert "model.onnx does not match its manifest" in log
