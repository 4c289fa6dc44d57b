"""Traces, seen by a collector that speaks OTLP over HTTP."""

import contextlib
import json
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from serving.observability.request_log import TraceIds
from serving.observability.tracing import parse_traceparent
from tests.support.collector import collector, spans_of
from tests.support.processes import free_port, serving

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
FAST = {"OTEL_BSP_SCHEDULE_DELAY": "100"}


@contextlib.contextmanager
def spans_collector():
    """(its URL, the spans that it got)"""
    spans = []

    def receive(path, body):
        assert path == "/v1/traces"
        for span, resource in spans_of(ExportTraceServiceRequest.FromString(body)):
            spans.append((span, attributes(resource)))

    with collector(receive) as url:
        yield url, spans


def attributes(thing):
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in thing.attributes
    }


def until(condition, seconds=15):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "nothing came"
        time.sleep(0.05)


def logged(server, request_id):
    def lines():
        """Those of the request; it is logged once its answer has gone."""
        return [line for line in server.log().splitlines() if f'"{request_id}"' in line]

    until(lines)
    (line,) = map(json.loads, lines())
    return line


@pytest.mark.parametrize("processes", [0, 1])
def test_a_request_is_a_span_of_its_caller_s_trace_with_its_stages_inside(tiny_registry, processes):
    with (
        spans_collector() as (url, spans),
        serving(
            tiny_registry, trace_endpoint=url, http_processes=processes, environ=FAST
        ) as server,
    ):
        headers = {"traceparent": TRACEPARENT, "tracestate": "a=b", "X-Request-Id": "mine"}
        assert server.classify({"texts": ["good", "bad film"]}, headers=headers).status_code == 200
        until(lambda: sum(span.trace_id.hex() == TRACE for span, _ in spans) == 4)
        line = logged(server, "mine")

    of_mine = {span.name: span for span, _ in spans if span.trace_id.hex() == TRACE}
    whole = of_mine.pop("POST /v1/classify")
    assert spans[0][1]["service.name"] == "sizewise"
    assert (whole.parent_span_id.hex(), whole.trace_state, whole.kind) == (SPAN, "a=b", 2)
    assert attributes(whole) == {
        "http.request.method": "POST",
        "http.route": "/v1/classify",
        "http.response.status_code": 200,
        "url.path": "/v1/classify",
        "sizewise.request_id": "mine",
        "sizewise.model": "tone",
        "sizewise.variant": "wide",
        "sizewise.texts": 2,
        "sizewise.tokens": 7,
    }
    assert list(of_mine) == ["tokenize", "queue", "engine"]
    at = whole.start_time_unix_nano
    for stage in of_mine.values():
        assert stage.parent_span_id == whole.span_id
        assert at <= stage.start_time_unix_nano <= stage.end_time_unix_nano
        at = stage.end_time_unix_nano
    assert at <= whole.end_time_unix_nano
    assert (line["trace_id"], line["span_id"]) == (TRACE, whole.span_id.hex())


def test_a_refusal_is_a_span_with_its_reason_and_no_stages(tiny_registry):
    with (
        spans_collector() as (url, spans),
        serving(tiny_registry, trace_endpoint=url, environ=FAST) as server,
    ):
        headers = {"traceparent": TRACEPARENT}
        assert server.classify({"texts": []}, headers=headers).status_code == 422
        until(lambda: any(span.trace_id.hex() == TRACE for span, _ in spans))

    (span,) = (span for span, _ in spans if span.trace_id.hex() == TRACE)
    assert attributes(span)["error.type"] == "invalid_field"
    assert attributes(span)["http.response.status_code"] == 422
    assert span.status.code == 0  # the caller's error is not the server's


def test_what_is_left_is_sent_at_the_end(tiny_registry):
    with (
        spans_collector() as (url, spans),
        serving(
            tiny_registry, trace_endpoint=url, environ={"OTEL_BSP_SCHEDULE_DELAY": "60000"}
        ) as server,
    ):
        server.classify({"texts": ["good"]}, headers={"traceparent": TRACEPARENT})
        assert server.stop() == 0
        assert sum(span.trace_id.hex() == TRACE for span, _ in spans) == 4


def test_a_collector_that_is_gone_costs_no_answer_and_delays_no_shutdown(tiny_registry):
    gone = f"http://127.0.0.1:{free_port()}"
    with serving(tiny_registry, trace_endpoint=gone, environ=FAST) as server:
        for _ in range(50):
            assert server.classify({"texts": ["good"]}).status_code == 200
        time.sleep(1)
        began_s = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began_s < 8
        complaints = [line for line in server.log().splitlines() if "opentelemetry" in line]
        assert 1 <= len(complaints) <= 10


def test_without_an_endpoint_the_sdk_is_not_imported():
    code = """
import sys, serving.server.launch, serving.settings, serving.observability.tracing
serving.observability.tracing.open_tracer(serving.settings.Settings()).close()
sys.exit(any(name.startswith("opentelemetry.sdk") for name in sys.modules))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_an_endpoint_a_caller_s_trace_is_logged(server):
    headers = {"traceparent": TRACEPARENT, "X-Request-Id": "untraced"}
    assert server.classify({"texts": ["good"]}, headers=headers).status_code == 200

    line = logged(server, "untraced")
    assert (line["trace_id"], line["span_id"]) == (TRACE, SPAN)


def test_an_endpoint_that_is_no_url_stops_the_start(tiny_registry):
    with serving(tiny_registry, trace_endpoint="collector:4318", wait_ready=False) as server:
        assert server.process.wait(30) == 2
        assert "SIZEWISE_TRACE_ENDPOINT" in server.log()


HEX = st.text("0123456789abcdef", min_size=1, max_size=40)


@given(st.text(max_size=80) | st.lists(HEX, max_size=6).map("-".join))
def test_a_traceparent_is_taken_only_when_it_is_one(value):
    ids = parse_traceparent(value)

    if ids:
        assert value.split("-")[1:3] == list(ids)
        assert int(ids.trace_id, 16) > 0
        assert int(ids.span_id, 16) > 0


@pytest.mark.parametrize(
    "value",
    [
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"0-{TRACE}-{SPAN}-01",
    ],
)
def test_what_the_specification_calls_invalid_is_not_taken(value):
    assert parse_traceparent(value) is None
    assert parse_traceparent(f"01-{TRACE}-{SPAN}-01-later") == TraceIds(TRACE, SPAN)
