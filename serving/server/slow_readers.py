"""Clients that do not read their answers, or read them slowly: bounded in time and in memory."""

import asyncio
import termios
from collections.abc import Callable

from serving.server.lingering import LingeringTransport, queued_bytes

# A client must read 26 kB/s: an answer of 1 MB within 40 s, the largest ones within minutes.
_PERIOD_S = 10.0
_LEAST_BYTES = 262_144
MOST_BYTES = 1 << 28
"""What all clients of a process together may have yet to read."""
# One that takes longer is given up for another, once there is too much.
_GRACE_S = 1.0


class Readers:
    """Bounds the clients that are waited for: their number, and the bytes that they have to read.

    Beyond either the one that has been waited for the longest is given up.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[Reader, int] = {}
        """What each had to read when it was last looked at; the oldest first."""
        self._bytes = 0

    def add(self, reader: "Reader") -> None:
        """Wait for a client to read."""
        self._waiting[reader] = reader.unread_bytes
        self._bytes += self._waiting[reader]
        if self._bytes > MOST_BYTES:
            self._waiting = {each: each.unread_bytes for each in self._waiting}
            self._bytes = sum(self._waiting.values())
        while self._bytes > MOST_BYTES or len(self._waiting) > self._most:
            oldest = next(iter(self._waiting))
            if oldest.waited_s < _GRACE_S:
                return
            oldest.give_up()

    def remove(self, reader: "Reader") -> None:
        """Wait for a client no longer."""
        self._bytes -= self._waiting.pop(reader, 0)


class Reader:
    """Bounds the time that one client takes to read, while its transport accepts no more.

    It is watched for whole periods, however often it is waited for within one: an answer that is
    written in parts is read in parts. At the end of a watch `on_end` is told whether the client was
    too slow.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: LingeringTransport,
        readers: Readers,
        on_end: Callable[[bool], None],
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._readers = readers
        self._on_end = on_end
        self._paused_s: float | None = None
        self._read_bytes = 0
        self._timer = loop.call_later(_PERIOD_S, self._check)
        self.pause()

    def pause(self) -> None:
        """Wait for the client to read, if it is not waited for already."""
        if self._paused_s is not None:
            return
        self._paused_s = self._loop.time()
        self._left_bytes = self._left()
        self._readers.add(self)

    def resume(self) -> None:
        """Wait no longer."""
        self._paused_s = None
        self._read_bytes += self._left_bytes - self._left()
        self._readers.remove(self)

    def end(self) -> None:
        """Stop watching."""
        self._timer.cancel()
        self._readers.remove(self)

    def give_up(self) -> None:
        """End the connection."""
        self.end()
        self._on_end(True)

    @property
    def since(self) -> float | None:
        """When the current period of waiting began, on the loop's clock; None: it does not wait."""
        return None if self._paused_s is None else self._timer.when() - _PERIOD_S

    @property
    def waited_s(self) -> float:
        """For how long it has been waited for."""
        return 0.0 if self._paused_s is None else self._loop.time() - self._paused_s

    @property
    def unread_bytes(self) -> int:
        """How much this process holds for it."""
        return self._transport.get_write_buffer_size()

    def _left(self) -> int:
        # The transport sees progress late, and in large steps.
        return self.unread_bytes + queued_bytes(self._transport, termios.TIOCOUTQ)

    def _check(self) -> None:
        left = self._left()
        if self._paused_s is None or not left:
            self.end()
            self._on_end(False)
        elif self._read_bytes + self._left_bytes - left < _LEAST_BYTES:
            self.give_up()
        else:
            self._read_bytes, self._left_bytes = 0, left
            self._timer = self._loop.call_later(_PERIOD_S, self._check)
