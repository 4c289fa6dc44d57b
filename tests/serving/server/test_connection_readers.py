"""A client that has its answer to read is bounded by how it reads, and not by other timers."""

from types import SimpleNamespace

import pytest
import uvicorn

from serving.observability.metrics import Metrics
from serving.server.connection_limits import LimitedConnections
from serving.server.http_protocol import HttpProtocol
from serving.server.refused_connections import RefusedConnections
from serving.settings import Settings
from tests.support.fake_loop import FakeLoop

KEEP_ALIVE_S = 5
ANSWER_BYTES = 1_000_000


class FakeTransport:
    """Holds `left` bytes, none of them in the kernel."""

    def __init__(self, left):
        self.left = left
        self.end = None
        self.protocol = None

    def get_write_buffer_size(self):
        return self.left

    def get_protocol(self):
        return self.protocol

    def get_extra_info(self, name):
        return self if name == "socket" else None

    def fileno(self):
        raise OSError

    getpeername = fileno

    def getsockname(self):
        return ("127.0.0.1", 80)

    def is_closing(self):
        return self.end is not None

    def abort(self):
        self.end = "aborted"

    def close(self):
        self.end = self.end or "closed"

    def write(self, _data):
        raise AssertionError("nothing else is written")

    pause_reading = resume_reading = write


async def no_app(_scope, _receive, _send):
    raise AssertionError("nothing is asked")


class Answered:
    """A connection whose answer was written, and whose client has this much of it to read."""

    def __init__(self, left):
        self.loop, self.transport = FakeLoop(), FakeTransport(left)
        config = uvicorn.Config(
            no_app, log_config=None, ws="none", interface="asgi3", timeout_keep_alive=KEEP_ALIVE_S
        )
        state = LimitedConnections(Settings(), RefusedConnections(Metrics(), 0))
        self.protocol = HttpProtocol(config, state, {}, self.loop)
        self.transport.protocol = self.protocol
        self.protocol.connection_made(self.transport)
        self.protocol._end_head_timer()
        self.protocol.cycle = SimpleNamespace(more_body=False, response_complete=True)
        if left > 65_536:
            self.protocol.pause_writing()
        self.protocol.on_response_complete()

    def read(self, bytes_a_second, seconds):
        """The client reads at this rate, for so long."""
        for _ in range(seconds):
            self.loop.wait(1)
            self.transport.left = max(0, self.transport.left - bytes_a_second)


@pytest.mark.parametrize("answer_bytes", [ANSWER_BYTES, 60_000], ids=["large", "small"])
async def test_a_client_that_reads_fast_enough_is_not_idle(answer_bytes):
    answered = Answered(answer_bytes)
    answered.read(answer_bytes // 10, 9)
    assert answered.transport.end is None
    answered.read(answer_bytes // 10, 1)
    answered.protocol.resume_writing()
    answered.loop.wait(30)
    assert answered.transport.end == "closed"


@pytest.mark.parametrize("answer_bytes", [ANSWER_BYTES, 60_000], ids=["large", "small"])
async def test_a_client_that_does_not_read_is_given_up(answer_bytes):
    answered = Answered(answer_bytes)
    answered.loop.wait(30)
    assert answered.transport.end == "aborted"


async def test_a_shutdown_does_not_cut_off_a_client_that_reads_fast_enough():
    answered = Answered(ANSWER_BYTES)
    answered.read(ANSWER_BYTES // 20, 9)
    answered.protocol._leave()
    assert answered.transport.end == "closed"
    answered.read(ANSWER_BYTES // 20, 10)
    assert answered.transport.end == "closed"
