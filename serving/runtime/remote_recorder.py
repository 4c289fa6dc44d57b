"""Counting over processes: both ends of what HTTP processes count and the engine process publishes.

An HTTP process sends its sums twenty times a second, if there are any, and before each scrape.
"""

import asyncio
from collections import deque

from serving.observability.counters import Counters
from serving.observability.table import Sums
from serving.runtime.ipc import Channel

# A stalled HTTP process must not fail a scrape.
_MOST_WAIT_S = 0.5


class RemoteRecorder(Counters):
    """The HTTP process's end."""

    def __init__(self, channel: Channel) -> None:
        """Start with an empty message: the engine process asks those that it has heard from."""
        super().__init__()
        self._channel = channel
        channel.send("sums", {})

    def flush(self) -> None:
        """Send what was counted since the last time, if anything was."""
        self.count_own()
        if sums := self.take():
            self._channel.send("sums", sums)

    def answer_flush(self) -> None:
        """Send it, and that it was all."""
        self.flush()
        self._channel.send("flushed")


class RemoteRecorders:
    """The engine process's end of every HTTP process."""

    def __init__(self, counters: Counters) -> None:
        """Add everything to `counters`."""
        self._counters = counters
        self._flushes: dict[Channel, deque[asyncio.Future[None]]] = {}
        """What waits for each process."""

    def add(self, channel: Channel, sums: Sums) -> None:
        """Count what an HTTP process has counted."""
        self._flushes.setdefault(channel, deque())
        self._counters.add(sums)

    async def flush(self) -> None:
        """Wait until every process has sent what it has counted by now, and it is added."""
        flushes = [self._flush(channel) for channel in self._flushes if not channel.full]
        if flushes:
            await asyncio.wait(flushes, timeout=_MOST_WAIT_S)

    def _flush(self, channel: Channel) -> asyncio.Future[None]:
        channel.send("flush")
        flushed = asyncio.get_running_loop().create_future()
        self._flushes[channel].append(flushed)
        return flushed

    def flushed(self, channel: Channel) -> None:
        """Note that a process has answered the oldest flush."""
        self._flushes[channel].popleft().set_result(None)

    def remove(self, channel: Channel) -> None:
        """Stop waiting for a process that has gone."""
        for flushed in self._flushes.pop(channel, ()):
            flushed.set_result(None)
