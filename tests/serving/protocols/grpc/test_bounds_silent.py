"""Clients of gRPC that fall silent take its places for seconds only."""

import contextlib
import time

import grpc

from tests.support.grpc_calls import INFER, call, request
from tests.support.http2_frames import DATA, HEADERS, begun, call_head, frame
from tests.support.processes import free_port, serving

PLACES = 40
DESCRIPTORS = 4 * PLACES
SECONDS = 60
HEAD = call_head(INFER.encode())
STATES = {
    "only the preface": b"",
    "half the head of a frame": b"\0\0",
    "half of HEADERS": HEAD[:30],
    "HEADERS that do not end": frame(HEADERS, 0, 1, HEAD[9:]),
    "a call without its message": HEAD,
    "half a message": HEAD + frame(DATA, 0, 1, b"\0\0\0\0\5ab"),
}


def ask(port):
    """One call on a connection of its own; returns its status."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as opened:
        try:
            call(opened)(request("good"), timeout=5)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK


def until_ended(connection, until_s):
    """Read until the server has ended the connection; fails if it does not."""
    with contextlib.suppress(ConnectionError):
        while True:
            connection.settimeout(max(0.01, until_s - time.monotonic()))
            if not connection.recv(65536):
                return


def test_silent_connections_in_any_state_lock_others_out_for_seconds_only(tiny_registry):
    port = free_port()
    few = {
        "program": "tests.support.few_descriptors_serving",
        "environ": {"DESCRIPTORS": str(DESCRIPTORS)},
    }
    with (
        serving(tiny_registry, grpc_port=port, body_timeout_ms=1000, **few),
        contextlib.ExitStack() as held,
    ):
        assert ask(port) is grpc.StatusCode.OK
        began_s, silent = time.monotonic(), []
        for number in range(2 * PLACES):
            connection = held.enter_context(begun(port))
            with contextlib.suppress(ConnectionError):
                connection.sendall(list(STATES.values())[number % len(STATES)])
            silent.append(connection)
        assert ask(port) is not grpc.StatusCode.OK, "the silent ones prove nothing"
        for connection in silent:
            until_ended(connection, began_s + SECONDS)
        assert ask(port) is grpc.StatusCode.OK
        assert time.monotonic() - began_s < SECONDS
