"""Close a connection without losing the answer that its client has not read yet.

To close a socket that holds unread data resets the connection, and a reset discards what the
client has received and not read: the answer. So the rest of the request is read and dropped first
(a lingering close, RFC 9112 section 9.6), within bounds of bytes and time.
"""

import asyncio
import fcntl
import termios
from collections.abc import Callable
from typing import Any

# A client that uploads at 13 kB/s or more has 30 s, three times the usual body timeout; one that
# is silent, or holds the connection open after reading its answer, has 5 s.
_PERIOD_S = 5.0
_LEAST_PERIOD_BYTES = 65_536
_MOST_PERIODS = 6
# 256 times the usual limit of a body. To read and drop so much takes a core about 0.1 s.
_MOST_BYTES = 1 << 28


def unread_bytes(transport: "asyncio.BaseTransport | LingeringTransport") -> int:
    """Return how much the kernel has received that this process has not read."""
    return queued_bytes(transport, termios.FIONREAD)


def queued_bytes(transport: "asyncio.BaseTransport | LingeringTransport", queue: int) -> int:
    """Return how much the kernel holds for a connection: termios.FIONREAD or TIOCOUTQ."""
    waiting = bytearray(4)
    try:
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), queue, waiting)
    except (OSError, ValueError):  # closed already
        return 0
    return int.from_bytes(waiting, "little")


class Remainder:
    """Bound what a client still sends of a request that has been answered."""

    def __init__(self, loop: asyncio.AbstractEventLoop, give_up: Callable[[], None]) -> None:
        self._loop = loop
        self._give_up = give_up
        self._bytes_left = _MOST_BYTES
        self._periods_left = _MOST_PERIODS
        self._period_bytes = 0
        self._timer = loop.call_later(_PERIOD_S, self._check)

    def count(self, size: int) -> None:
        """Count received bytes; give up beyond the limit."""
        self._bytes_left -= size
        self._period_bytes += size
        if self._bytes_left < 0:
            self.end()
            self._give_up()

    def end(self) -> None:
        """Stop the timer."""
        self._timer.cancel()

    @property
    def since(self) -> float:
        """When the current period began, on the loop's clock."""
        return self._timer.when() - _PERIOD_S

    def _check(self) -> None:
        self._periods_left -= 1
        if self._period_bytes < _LEAST_PERIOD_BYTES or not self._periods_left:
            self._give_up()
            return
        self._period_bytes = 0
        self._timer = self._loop.call_later(_PERIOD_S, self._check)


class LingeringClose(asyncio.Protocol):
    """Takes a connection over: ends the sending side, then drops what comes until the client ends.

    `ended` is the former protocol's `connection_lost`; `give_up` aborts.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        ended: Callable[[Exception | None], None],
        give_up: Callable[[], None],
    ) -> None:
        self._ended = ended
        self._remainder = Remainder(asyncio.get_running_loop(), give_up)
        transport.set_protocol(self)
        transport.write_eof()
        if not transport.is_reading():
            transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Drop it."""
        self._remainder.count(len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer, and tell the former protocol."""
        self._remainder.end()
        self._ended(exc)


class LingeringTransport:
    """The transport of an HTTP connection; `close` lingers while the client may still be sending.

    The other methods are the transport's own, so they cost no further call.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.write: Callable[[bytes], None] = transport.write
        self.abort = transport.abort
        self.is_closing: Callable[[], bool] = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.get_extra_info: Callable[..., Any] = transport.get_extra_info
        self.get_write_buffer_size = transport.get_write_buffer_size

    def close(self) -> None:
        """Close once what was written is sent, and the client has ended or the bounds are reached.

        The protocol's `expects_more` tells whether the client may still be sending.
        """
        if self.is_closing():
            return
        protocol: Any = self._transport.get_protocol()
        if protocol.expects_more or unread_bytes(self._transport):
            self.is_closing = _always
            self.write = _drop
            LingeringClose(self._transport, protocol.connection_lost, protocol.end_lingering)
        else:
            if self.get_write_buffer_size():
                protocol.watch_reader()  # uvloop would wait for ever to send it
            self._transport.close()


def _always() -> bool:
    return True


def _drop(_data: bytes) -> None:
    pass
