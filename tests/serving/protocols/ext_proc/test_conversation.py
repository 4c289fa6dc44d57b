"""Streams as no Envoy sends them yet, broken ones, and those that end early."""

import pytest

from serving.protocols.ext_proc.messages import message
from tests.support.ext_proc_streams import chat, lines, stream
from tests.support.grpc_calls import channel
from tests.support.processes import free_port, serving
from tests.support.registries import wait_for


@pytest.fixture(scope="module")
def port(guards):
    port = free_port()
    with serving(guards, grpc_port=port):
        yield port


def test_messages_and_fields_of_later_versions_are_tolerated_and_responses_go_on(port):
    with channel(port) as opened:
        process = stream(opened)
        process.send(raw=b"\xa2\x06\x03abc")  # field 100
        process.send(response_headers={})
        response = process.reply()
        process.send(response_body={})
        again = process.reply()
        body = message("ProcessingRequest")(request_body={"body": chat("bad")})
        body.request_body.end_of_stream = True
        process.send(raw=body.SerializeToString() + b"\xa2\x06\x03abc")
        last = process.reply()
        with pytest.raises(StopIteration):
            process.reply()

    assert response.WhichOneof("response") == "response_headers"
    assert again.WhichOneof("response") == "response_body"
    assert last.immediate_response.status.code == 403


def test_what_is_no_message_is_a_failure_and_a_client_that_leaves_is_none(guards):
    port = free_port()
    with (
        serving(guards, grpc_port=port) as server,
        channel(port) as opened,
    ):
        broken = stream(opened)
        broken.send(raw=b"\xff")
        refused = broken.reply().immediate_response.status.code
        leaving, ending = stream(opened), stream(opened)
        for each in (leaving, ending):
            each.send(request_headers={})
            each.reply()
        leaving.cancel()
        ending.end()
        with pytest.raises(StopIteration):
            ending.reply()
        wait_for(lambda: len(lines(server)) == 3)
        logged = lines(server)

    assert refused == 422
    assert [line["status"] for line in logged] == [422, 499, 499]
    assert [line.get("outcome") for line in logged] == ["refused", None, None]


@pytest.mark.parametrize(
    "again",
    [
        {"request_headers": {"headers": {"headers": [{"key": b"a", "value": b"b" * 100_000}]}}},
        {"request_body": {}},
    ],
    ids=["headers", "empty pieces"],
)
def test_what_is_said_again_and_again_is_refused_rather_than_kept(port, again):
    with channel(port) as opened:
        process = stream(opened)
        process.send(protocol_config={"request_body_mode": 1}, request_headers={})
        goes_on = process.reply()
        for _ in range(100):
            process.send(**again)
        refused = process.reply()
        with pytest.raises(StopIteration):
            process.reply()

    assert goes_on.WhichOneof("response") == "request_headers"
    assert refused.immediate_response.status.code == 422
    assert b"never says this so often" in refused.immediate_response.body


def test_a_body_that_does_not_come_in_time_is_a_failure(guards):
    port = free_port()
    with serving(guards, grpc_port=port, body_timeout_ms=500) as server, channel(port) as opened:
        slow = stream(opened)
        slow.send(request_headers={})
        slow.reply()
        status = slow.reply().immediate_response.status.code
        wait_for(lambda: lines(server))
        logged = lines(server)

    assert status == 408
    assert [(line["code"], line["outcome"]) for line in logged] == [("body_timeout", "refused")]


@pytest.mark.parametrize("failure", ["open", "closed"])
def test_the_end_of_the_drain_ends_a_stream_with_a_verdict(guards, failure):
    port = free_port()
    with (
        serving(
            guards, grpc_port=port, ext_proc_failure=failure, drain_ms=300, shutdown_delay_ms=0
        ) as server,
        channel(port) as opened,
    ):
        last = stream(opened)
        for piece in (chat("good")[:9], chat("good")[9:20]):  # the second one waits
            last.send(request_body={"body": piece})
        last.reply()
        status = server.stop()
        ended = last.reply()
        logged = lines(server)

    assert status == 0
    assert [(line["code"], line["outcome"]) for line in logged] == [
        ("draining", f"failed_{failure}")
    ]
    if failure == "open":
        assert ended.WhichOneof("response") == "request_body"
    else:
        assert ended.immediate_response.status.code == 503
