import asyncio
import socket
import time
from contextlib import asynccontextmanager

from serving.observability.metrics import Metrics
from serving.runtime.ipc import Channel
from serving.runtime.remote_recorder import RemoteRecorder, RemoteRecorders
from tests.support.channels import Inbox
from tests.support.metric_events import CLASSIFY, TICK_S
from tests.support.metric_values import total


class HttpProcess:
    """A recorder and what reads its messages in the engine process, and those of the latter."""

    def __init__(self, ours, theirs, recorders):
        self.recorder = RemoteRecorder(theirs)
        self.received = []
        self.stalled = False
        self.heard = asyncio.Event()
        self._ours, self._theirs, self._recorders = ours, theirs, recorders
        self._answering = asyncio.create_task(self._answer())
        self.ended = asyncio.create_task(self._receive())

    async def _receive(self):
        async for kind, *rest in Inbox(self._ours).messages():
            self.received.append(kind)
            if kind == "sums":
                self._recorders.add(self._ours, *rest)
            else:
                self._recorders.flushed(self._ours)
            self.heard.set()
        self._recorders.remove(self._ours)
        self._ours.close()
        await self._ours.closed()

    async def _answer(self):
        async for (kind,) in Inbox(self._theirs).messages():
            assert kind == "flush"
            if not self.stalled:
                self.recorder.answer_flush()

    def count(self, requests):
        for _ in range(requests):
            self.recorder.record_request(CLASSIFY, "tone", 200, TICK_S)

    async def leave(self):
        self._answering.cancel()
        self._theirs.close()
        await self._theirs.closed()


@asynccontextmanager
async def http_processes(count):
    """An engine process's metrics and recorders, and HTTP processes that it has heard from."""
    metrics = Metrics()
    recorders = RemoteRecorders(metrics)
    processes = []
    for _ in range(count):
        ours, theirs = socket.socketpair()
        ends = [await Channel.over(each) for each in (ours, theirs)]
        processes.append(HttpProcess(*ends, recorders))
    for process in processes:
        await process.heard.wait()
    yield metrics, recorders, processes
    for process in processes:
        await process.leave()
        await process.ended


def counted(metrics):
    page, _ = metrics.page([], 0, ready=True)
    return total(page.decode(), "sizewise_requests_total")


def test_a_flush_brings_what_every_process_has_counted_by_then():
    async def run():
        async with http_processes(3) as (metrics, recorders, processes):
            for requests, process in enumerate(processes, 1):
                process.count(requests)
            assert counted(metrics) == 0
            await asyncio.gather(recorders.flush(), recorders.flush())
            assert counted(metrics) == 1 + 2 + 3
            processes[1].count(10)
            await recorders.flush()
            assert counted(metrics) == 16

    asyncio.run(run())


def test_counts_are_one_message_and_none_where_nothing_was_counted():
    async def run():
        async with http_processes(1) as (metrics, _, (process,)):
            process.count(1000)
            for _ in range(20):
                process.recorder.flush()
            await process.leave()
            await process.ended
            assert process.received == ["sums", "sums"]  # the first one says that it has started
            assert counted(metrics) == 1000

    asyncio.run(run())


def test_the_last_counts_of_a_process_arrive_before_its_end():
    async def run():
        async with http_processes(2) as (metrics, recorders, processes):
            processes[0].count(5)
            processes[0].recorder.flush()
            await processes[0].leave()
            await processes[0].ended
            assert counted(metrics) == 5
            await recorders.flush()

    asyncio.run(run())


def test_a_process_that_stalls_or_ends_does_not_hold_up_a_scrape():
    async def run():
        async with http_processes(2) as (metrics, recorders, (stalled, other)):
            stalled.stalled = True
            other.count(7)
            started_s = time.monotonic()
            await recorders.flush()
            assert counted(metrics) == 7
            flushing = asyncio.create_task(recorders.flush())
            await asyncio.sleep(0)
            await stalled.leave()
            await flushing
            assert time.monotonic() - started_s < 5
            await recorders.flush()

    asyncio.run(run())
