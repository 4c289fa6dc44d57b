"""Two ends of a channel in one process, and what reads one of them."""

import asyncio
import socket
from contextlib import asynccontextmanager

from serving.runtime.ipc import Channel


@asynccontextmanager
async def channel_pair():
    """Both ends of a channel; they are closed in the end."""
    ends = [await Channel.over(each) for each in socket.socketpair()]
    yield ends
    for end in ends:
        end.abort()
        await end.closed()


class Inbox:
    """Opens a channel and keeps what the other end sends."""

    def __init__(self, channel):
        self.frames = []
        self._messages = asyncio.Queue()
        channel.open(self)

    async def messages(self):
        """Each message, until the other end goes."""
        while (message := await self._messages.get()) is not None:
            yield message

    async def first(self, *kinds):
        """(kind, content) of the next message of one of these kinds; others are dropped."""
        async with asyncio.timeout(20):
            async for kind, *rest in self.messages():
                if kind in kinds:
                    return kind, rest
        raise AssertionError(f"the other end has gone without a message of {kinds}")

    def on_message(self, *message):
        self._messages.put_nowait(message)

    def on_frame(self, kind, body):
        self.frames.append((kind, bytes(body)))

    def turn(self):
        return ()

    def on_lost(self):
        self._messages.put_nowait(None)
