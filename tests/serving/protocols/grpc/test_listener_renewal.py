"""Whatever ends a gRPC server: it is made anew, not too often, and accepted calls are answered."""

import asyncio

import pytest

from serving import background
from serving.protocols.grpc import listener as grpc_listener
from serving.protocols.grpc.listener import Listener
from serving.settings import Settings
from tests.support.batchers import wait_until

DRAIN_MS = 300


class FakeServer:
    """In place of grpcio's. Has calls to answer until it is stopped without a grace period."""

    def __init__(self, net, _options):
        self._net = net
        self._server = self
        self._ends = asyncio.Event()
        self.graces_s = []
        self.running = False

    def add_generic_rpc_handlers(self, _handlers):
        pass

    def add_insecure_port(self, _address):
        self._net.tries += 1
        if self._net.port_is_taken:
            raise RuntimeError

    async def start(self):
        self._net.servers.append(self)
        if self._net.fails:
            raise self._net.fails.pop()
        self.running = True

    def is_running(self):
        return self.running and not self._net.hostile

    async def stop(self, grace_s):
        self.graces_s.append(grace_s)
        if grace_s is None:
            self._ends.set()
        await self._ends.wait()


class Net:
    """All servers that were started, the first try included."""

    def __init__(self):
        self.servers, self.tries, self.fails = [], 0, []
        self.port_is_taken = False
        self.hostile = False
        """Each server ends as soon as it has begun."""

    def answer_all(self):
        for each in self.servers:
            each._ends.set()


@pytest.fixture
async def net(monkeypatch):
    made = Net()
    monkeypatch.setattr(grpc_listener.grpc.aio, "server", lambda options: FakeServer(made, options))
    monkeypatch.setattr(grpc_listener, "_LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(background, "_RESTART_S", 0.001)
    return made


@pytest.fixture
async def listener(net):
    made = Listener([], Settings(grpc_port=9, drain_ms=DRAIN_MS))
    await made.start()
    yield made
    net.answer_all()
    await made.stop()


@pytest.mark.usefixtures("listener")
async def test_a_port_that_another_program_has_taken_is_tried_rarely_and_told_once(net, caplog):
    net.port_is_taken, net.servers[0].running = True, False
    await wait_until(lambda: net.tries > 3)
    await asyncio.sleep(0.5)
    assert net.tries < 12
    assert caplog.text.count("cannot be started again") == 1
    net.port_is_taken = False
    await wait_until(lambda: len(net.servers) == 2)
    assert net.servers[1].running


async def test_a_server_that_cannot_start_is_made_anew_and_calls_are_answered(net, listener):
    net.fails, net.servers[0].running = [OSError()] * 2, False
    await wait_until(lambda: len(net.servers) == 4 and net.servers[3].running)
    stopping = asyncio.create_task(listener.stop())
    grace_s = DRAIN_MS / 1e3 + grpc_listener._LAST_ANSWERS_S
    await wait_until(lambda: net.servers[3].graces_s == [grace_s])
    assert not stopping.done()
    net.answer_all()
    await stopping
    assert net.servers[0].graces_s == [listener._longest_s]


@pytest.mark.usefixtures("listener")
async def test_servers_that_end_one_after_the_other_do_not_pile_up(net, monkeypatch):
    monkeypatch.setattr(grpc_listener, "_MOST_PAUSE_S", 0.004)
    net.hostile = True
    await wait_until(lambda: len(net.servers) > 20)
    net.hostile = False
    left = [each for each in net.servers if not each._ends.is_set()]
    assert len(left) <= grpc_listener._MOST_ENDED + 2
    assert left == net.servers[-len(left) :]
