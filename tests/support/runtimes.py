"""A runtime and its remote end, over a socket pair in one process."""

import asyncio
import socket
from contextlib import asynccontextmanager

from serving.access.rate_limits import LimitUse
from serving.batching.queue import Backlog
from serving.observability.metrics import Metrics
from serving.runtime.feedback import LocalFeedback
from serving.runtime.ipc import Channel
from serving.runtime.remote import RemoteRuntime
from serving.runtime.remote_recorder import RemoteRecorders
from serving.runtime.runtime_server import RuntimeServer
from serving.settings import Settings


class BatcherRuntime:
    """What RuntimeServer needs of a LocalRuntime, over a batcher of the tests."""

    trouble = ""
    served = True
    running = {}  # noqa: RUF012  never changed

    def __init__(self, batcher):
        self.batcher = batcher
        self.withdraw = batcher.withdraw
        self.limit_use = LimitUse(lambda: 0.0)
        self.feedback = LocalFeedback(Settings(feedback_texts=100), Metrics())
        self.woken = []
        self.wake = self.woken.append

    def use(self, _variant):
        return self.batcher

    def backlog(self):
        return Backlog(running_s=(7.0,))

    async def follow(self):
        await asyncio.Event().wait()
        yield

    def charge(self, caller, texts):
        self.limit_use.charge(caller.name, texts)

    def leave(self, caller):
        self.limit_use.leave(caller.name)

    async def page(self, *, ready):
        if not ready:
            raise ValueError("no page")
        return b"page", "text/plain"


@asynccontextmanager
async def connected(runtime):
    """A RemoteRuntime, and the task that serves it."""
    ours, theirs = socket.socketpair()
    server = RuntimeServer(await Channel.over(ours), runtime, RemoteRecorders(Metrics()))
    serving = asyncio.create_task(server.serve())
    remote = RemoteRuntime(await Channel.over(theirs))
    yield remote, serving
    remote.close()
    await asyncio.wait_for(serving, 5)
