"""The channel between two processes of one server: a Unix socket pair that only they hold.

So pickle is safe. What one turn of the loop sends is written at its end, in one piece.
"""

import asyncio
import pickle
import socket
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, cast

from serving.logs import LOGGER
from serving.runtime.frames import MESSAGE, FrameReader, message

# More than what a process that reads leaves unread.
_FULL_BYTES = 16 * 2**20


class Receiver(Protocol):
    """What a process does with the frames of the other."""

    def on_message(self, kind: str, *rest: Any) -> None:
        """Handle a message, whose first item is its kind."""

    def on_frame(self, kind: int, body: memoryview) -> None:
        """Handle a frame of another kind."""

    def turn(self) -> Sequence[bytes]:
        """Return the frames that are to follow the messages of this turn."""

    def on_lost(self) -> None:
        """Note that the other process has gone, or that the channel was aborted."""


class Channel(asyncio.Protocol):
    """Frames over a connected socket, between `open` and `close`.

    Nothing waits for the other end to read. `full` is set while it does not: then send only what
    the other end has asked for, so that what is kept for it is bounded.
    """

    _transport: asyncio.Transport
    _receiver: Receiver | None = None

    @classmethod
    async def over(cls, sock: socket.socket) -> "Channel":
        """Make a channel over `sock` and take ownership of it."""
        _, channel = await asyncio.get_running_loop().create_unix_connection(cls, sock=sock)
        return channel

    def __init__(self) -> None:
        self.full = False
        self._reader = FrameReader()
        self._messages: list[bytes] = []
        self._early: list[tuple[int, memoryview]] = []
        """What arrived before `open`."""
        self._loop = asyncio.get_running_loop()
        self.flushing = False
        """Whether this turn has something to send."""
        self._lost = asyncio.Event()

    def open(self, receiver: Receiver) -> None:
        """Hand what the other end sends to `receiver` from now on."""
        self._receiver = receiver
        self._handle(self._early)
        if self._lost.is_set():
            receiver.on_lost()

    def send(self, *content: Any) -> None:
        """Send a message; do nothing once the other end has gone."""
        self._messages.append(message(*content))
        self.flush_soon()

    def flush_soon(self) -> None:
        """Ask the receiver for its frames at the end of this turn."""
        if not self.flushing:
            self.flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self.flushing = False
        try:
            frames = self._receiver.turn() if self._receiver else ()
        except Exception:  # noqa: BLE001  logged; the messages must not be lost too
            LOGGER.exception("bug")
            frames = ()
        data = b"".join((*self._messages, *frames))
        self._messages.clear()
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Send what is outstanding, and close the socket; the receiver hears no more."""
        if self.flushing:
            self._flush()
        self._receiver = None
        self._transport.close()

    def abort(self) -> None:
        """Close the socket, whatever the other end has not read."""
        self._transport.abort()

    async def closed(self) -> None:
        """Wait, after `close`, until the rest is sent or the other end has gone."""
        await self._lost.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_FULL_BYTES)

    def data_received(self, data: bytes) -> None:
        """Handle every frame that has arrived; one that fails does not end the channel."""
        frames = self._reader.feed(data)
        if self._receiver:
            self._handle(frames)
        else:
            self._early += frames

    def _handle(self, frames: Iterable[tuple[int, memoryview]]) -> None:
        receiver = self._receiver
        assert receiver
        for kind, body in frames:
            try:
                if kind == MESSAGE:
                    receiver.on_message(*pickle.loads(body))  # noqa: S301
                else:
                    receiver.on_frame(kind, body)
            except Exception:  # noqa: BLE001  logged
                LOGGER.exception("bug")

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self.full = True

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self.full = False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio calls it so
        """See asyncio.Protocol."""
        self._lost.set()
        if self._receiver:
            self._receiver.on_lost()
