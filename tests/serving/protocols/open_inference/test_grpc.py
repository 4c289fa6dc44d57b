import json
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from serving.protocols.open_inference.grpc_messages import message
from tests.support.grpc_calls import INFER, call, channel, request
from tests.support.metric_values import total
from tests.support.processes import FRESH, free_port, serving
from tests.support.registries import wait_for

NO_CACHE = tuple((name.lower(), value) for name, value in FRESH.items())


def labels(answer):
    return [each.decode() for each in answer.outputs[0].contents.bytes_contents]


@pytest.mark.parametrize("http_processes", [0, 2])
def test_typed_contents_are_answered_with_typed_contents(tiny_registry, http_processes):
    port = free_port()
    with (
        serving(tiny_registry, grpc_port=port, http_processes=http_processes) as server,
        channel(port) as opened,
    ):
        answers = [call(opened)(request("good film", "bad")) for _ in range(20)]
        checked = call(opened, "/grpc.health.v1.Health/Check", "HealthCheckResponse")
        status = checked(message("HealthCheckRequest")()).status
        page = server.metrics()

    assert {tuple(labels(answer)) for answer in answers} == {("positive", "negative")}
    assert len(answers[0].outputs[1].contents.fp32_contents) == 4
    assert status == 1
    answered = {"code": "200", "endpoint": INFER, "model": "tone"}
    assert total(page, "sizewise_requests_total", **answered) == 20


def test_the_key_the_deadline_and_the_size_hold(tiny_registry):
    port = free_port()
    with (
        serving(
            tiny_registry, grpc_port=port, api_key="correct-horse", max_body_bytes=10_000
        ) as server,
        channel(port) as opened,
    ):
        infer = call(opened)
        key = (("authorization", "Bearer correct-horse"), ("x-request-id", "mine"))
        codes = []
        for sent, more in [
            (request("good"), {}),
            (request("good"), {"metadata": key}),
            (request("good" * 5000), {"metadata": key}),
            (request("good", model="none"), {"metadata": key}),
            (request(*["good"] * 257), {"metadata": key}),
            (request(*(f"good film {n}" for n in range(250))), {"metadata": key, "timeout": 1e-4}),
        ]:
            try:
                infer(sent, **more)
                codes.append("OK")
            except grpc.RpcError as error:
                codes.append(error.code().name)
        said = server.log()

    assert codes == [
        "UNAUTHENTICATED", "OK", "RESOURCE_EXHAUSTED", "NOT_FOUND", "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
    ]  # fmt: skip
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    logged = [line for line in lines if line.get("path") == INFER]
    assert {line["request_id"] for line in logged if line["status"] == 200} == {"mine"}
    assert "correct-horse" not in said


def in_flight(server):
    return total(server.metrics(), "sizewise_requests_in_flight")


def test_who_cancels_leaves_the_queue_and_what_was_accepted_is_answered_at_the_end(tiny_registry):
    port = free_port()
    slow = {"SLOW_BATCH_S": "0.5"}
    with (
        serving(
            tiny_registry, program="tests.support.slow_serving", environ=slow, variants="tiny",
            grpc_port=port, shutdown_delay_ms=100,
        ) as server,
        channel(port) as opened,
        ThreadPoolExecutor(1) as stopping,
    ):  # fmt: skip
        infer = call(opened)
        first = [infer.future(request(f"good {n}"), metadata=NO_CACHE) for n in range(2)]
        leaving = [infer.future(request(f"film {n}"), metadata=NO_CACHE) for n in range(20)]
        wait_for(lambda: in_flight(server) == 22)
        for each in leaving:
            each.cancel()
        wait_for(lambda: in_flight(server) <= 2)
        queued = total(server.metrics(), "sizewise_queue_texts")
        before = [labels(each.result(30)) for each in first]
        kept = [infer.future(request(f"bad {n}"), metadata=NO_CACHE) for n in range(6)]
        wait_for(lambda: in_flight(server) == 6)
        status = stopping.submit(server.stop)
        answered = [labels(each.result(30)) for each in kept]

    assert queued == 0
    assert (before, answered) == ([["positive"]] * 2, [["negative"]] * 6)
    assert status.result() == 0


def test_a_port_that_is_taken_stops_the_start(tiny_registry):
    port = free_port()
    with (
        serving(tiny_registry, grpc_port=port),
        serving(tiny_registry, grpc_port=port, wait_ready=False) as second,
    ):
        assert second.process.wait(30) == 2
        assert "SIZEWISE_GRPC_PORT" in second.log()
