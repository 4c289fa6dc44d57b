"""What a gRPC client may hold, and for how long; details that fit."""

import contextlib
import socket
import struct
import time
from urllib.parse import quote

import grpc
import pytest

from serving.protocols.grpc.bounds import _MOST_DETAIL_BYTES, fitting
from serving.protocols.open_inference.grpc_messages import message
from tests.support.grpc_calls import INFER, call, channel, request
from tests.support.metric_values import total
from tests.support.processes import free_port, serving

HEALTH = "/grpc.health.v1.Health/Check"
DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6
END_STREAM, END_HEADERS = 1, 4
READ_NOTHING = struct.pack(">HI", 4, 0)  # SETTINGS_INITIAL_WINDOW_SIZE


@pytest.fixture(scope="module")
def port(tiny_registry):
    port = free_port()
    with serving(tiny_registry, grpc_port=port, body_timeout_ms=1000, max_requests=8):
        yield port


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def begun(port, settings=b""):
    """A connection after HTTP/2's preface."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    first = frame(SETTINGS, 0, 0, settings)
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + first)
    return connection


def headers(stream):
    """The frame that begins a call."""

    def field(name, value):
        return b"\0%c%b%c%b" % (len(name), name, len(value), value)

    head = b"\x83\x86" + b"".join(
        field(name, value)
        for name, value in (
            (b":path", INFER.encode()),
            (b":authority", b"here"),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
        )
    )
    return frame(HEADERS, END_HEADERS, stream, head)


def unfinished(stream):
    """Frames of a call whose message does not end."""
    return headers(stream) + frame(DATA, 0, stream, b"\0\0\0\0\5ab")


def whole(stream):
    """Frames of a call."""
    sent = request("good").SerializeToString()
    message = struct.pack(">BI", 0, len(sent)) + sent
    return headers(stream) + frame(DATA, END_STREAM, stream, message)


def refusal(ask, *sent, **options):
    with pytest.raises(grpc.RpcError) as refused:
        ask(*sent, timeout=30, **options)
    return refused.value.code(), refused.value.details()


def test_calls_that_are_never_finished_lock_nobody_out_and_end(port):
    with begun(port) as slow, channel(port) as opened:
        slow.sendall(b"".join(map(unfinished, range(1, 17, 2))))
        assert call(opened)(request("good"), timeout=30).outputs
        said = b""
        while said.count(b"too slowly") < 8:
            part = slow.recv(65536)
            assert part, said
            said += part
        assert call(opened)(request("good"), timeout=30).outputs


@pytest.mark.parametrize("model", ["m" * 20_000, "\N{GRINNING FACE}" * 5_000])
def test_the_details_of_an_error_fit_whatever_they_repeat(port, model):
    with channel(port) as opened:
        code, details = refusal(call(opened), request("good", model=model))
    assert code is grpc.StatusCode.NOT_FOUND
    assert details.startswith("No such model: there is no model")
    assert len(quote(details)) <= _MOST_DETAIL_BYTES


def test_details_keep_their_beginning_and_their_end():
    details = fitting("begin" + "\N{SNOWMAN}" * 9_000 + "end")
    assert (details[:5], details[-3:]) == ("begin", "end")
    assert fitting("as it is") == "as it is"


def test_the_health_of_an_unknown_service_is_not_found(port):
    kind = message("HealthCheckRequest")
    with channel(port) as opened:
        check = call(opened, HEALTH, "HealthCheckResponse")
        for known in ("", "inference.GRPCInferenceService"):
            assert check(kind(service=known), timeout=30).status == 1
        assert refusal(check, kind(service="nope"))[0] is grpc.StatusCode.NOT_FOUND


def test_what_is_no_message_is_the_clients_fault(port):
    with channel(port) as opened:
        raw = opened.unary_unary(INFER)
        nothing = opened.stream_unary(INFER)
        assert refusal(raw, b"\xff\xff\xff")[0] is grpc.StatusCode.INVALID_ARGUMENT
        assert refusal(nothing, iter(()))[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_huge_metadata_is_refused_and_the_channel_serves_on(port):
    with channel(port) as opened:
        code, _ = refusal(call(opened), request("good"), metadata=(("x-a", "a" * 100_000),))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert call(opened)(request("good"), timeout=30).outputs


def test_more_calls_at_once_than_streams_are_answered_or_refused_in_time(port):
    with channel(port) as opened:
        calls = [call(opened).future(request("good"), timeout=60) for _ in range(2000)]
        codes = {each.code() for each in calls}
        code = grpc.StatusCode  # UNAVAILABLE: sent before the limit was known
        assert codes <= {code.OK, code.RESOURCE_EXHAUSTED, code.UNAVAILABLE}
        assert call(opened)(request("good"), timeout=30).outputs


def test_a_flood_of_pings_ends_the_connection(port):
    with begun(port) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(frame(PING, 0, 0, b"12345678") * 10_000)
        with contextlib.suppress(ConnectionError):
            while connection.recv(65536):
                pass


def test_a_connection_whose_answers_nobody_reads_gets_no_more_and_others_do(tiny_registry):
    port, program = free_port(), "tests.support.impatient_serving"
    with (
        serving(tiny_registry, grpc_port=port, program=program) as server,
        begun(port, READ_NOTHING) as silent,
        channel(port) as opened,
    ):
        silent.sendall(b"".join(map(whole, range(1, 61, 2))))
        said = b""
        while said.count(b"yet to read") < 20:
            part = silent.recv(65536)
            assert part, said
            said += part
        for _ in range(20):
            assert call(opened)(request("good"), timeout=30).outputs
        page = server.metrics()

    refused = total(page, "sizewise_requests_total", code="429", reason="overloaded")
    assert refused >= 20
    assert total(page, "sizewise_rejected_total", reason="overloaded") == refused
    assert total(page, "sizewise_caller_requests_total", outcome="failed") == refused


def test_a_connection_whose_answers_nobody_reads_ends_however_many_calls_it_gets(tiny_registry):
    port = free_port()
    short = {"default_deadline_ms": 1000, "max_deadline_ms": 1000, "keep_alive_s": 1}
    with serving(tiny_registry, grpc_port=port, **short), begun(port, READ_NOTHING) as connection:
        connection.settimeout(0.2)
        ended, stream, until_s = False, 1, time.monotonic() + 60
        while not ended and time.monotonic() < until_s:
            try:
                connection.sendall(whole(stream))
                stream += 2
                ended = not connection.recv(65536)
            except TimeoutError:
                pass
            except ConnectionError:
                ended = True
    assert ended


def test_a_channel_loses_no_call_when_its_connection_moves_on(tiny_registry):
    port = free_port()
    with serving(tiny_registry, grpc_port=port, keep_alive_s=1), channel(port) as opened:
        ask, until_s = call(opened), time.monotonic() + 4
        while time.monotonic() < until_s:
            assert ask(request("good"), timeout=30).outputs
