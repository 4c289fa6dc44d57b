"""A call that ends grpcio's server costs no other call, and the port is open again at once."""

import socket

from tests.support.grpc_calls import INFER, call, channel, request
from tests.support.http2_frames import (
    END_HEADERS,
    GOAWAY,
    HEADERS,
    begun,
    call_data,
    call_head,
    frame,
)
from tests.support.processes import free_port, serving
from tests.support.registries import wait_for

NOT_UTF8 = b"/inference.GRPC\xa3/ModelInfer"
LIVE = INFER.replace("ModelInfer", "ServerLive")
RENEWED = '"event":"gRPC had ended, and was started again"'


def test_a_path_that_is_not_utf8_costs_neither_later_calls_nor_one_in_progress(
    tiny_registry, tmp_path
):
    port, hold = free_port(), tmp_path / "hold"
    with (
        serving(
            tiny_registry,
            program="tests.support.slow_serving",
            environ={"SLOW_HOLD": str(hold)},
            variants="tiny",
            grpc_port=port,
        ) as server,
        channel(port) as before,
    ):
        hold.touch()
        held = call(before).future(request("good"), timeout=60)
        wait_for(lambda: "sizewise_requests_in_flight 1.0" in server.metrics())
        for times in range(1, 4):
            with begun(port) as hostile:
                hostile.sendall(call_head(NOT_UTF8) + call_data(b""))
                wait_for(lambda: server.log().count(RENEWED) == times)  # noqa: B023
            with channel(port) as after:
                assert call(after, LIVE, "ServerLiveResponse")(request(), timeout=30).live
        hold.unlink()

        assert held.result(30).outputs
        assert server.stop() == 0


HOSTILE = {
    "not json": frame(GOAWAY, 0, 0, b"\0" * 7 + b"\2" + b"\n{not json}\n"),
    "':scheme' metadata": frame(HEADERS, END_HEADERS, 1, b"\x83\x06\x03abc"),
    "':status' metadata": frame(HEADERS, END_HEADERS, 1, b"\x83\x08\x03abc"),
}


def test_what_a_client_sends_is_not_written_past_the_log(tiny_registry):
    port = free_port()
    with serving(tiny_registry, grpc_port=port) as server:
        for sent in HOSTILE.values():
            with begun(port) as connection:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65_536):
                    pass
        with channel(port) as opened:
            assert call(opened)(request("good"), timeout=30).outputs
        assert [each for each in HOSTILE if each in server.log()] == []
