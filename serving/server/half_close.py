"""A client that has ended its sending side: it may be reading, or it may have left.

Both look alike until something is sent: the system of a client that has left resets the connection.
So one that waits for long is sent `100 Continue`, which every client of HTTP/1.1 passes over.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

# Answers usually come sooner, and a text of a client that has left costs no more than this wait.
_PROBE_AFTER_S = 0.25
_RESET_WITHIN_S = 0.05
_LOOK_EVERY_S = 1.0
_TCP_CLOSE = 7
_PROBE = b"HTTP/1.1 100 Continue\r\n\r\n"


class HalfClosed:
    """Aborts the connection of a client that has left, unless it is answered first.

    `may_probe` tells whether a `100 Continue` may be sent now: the parts of a response that has
    begun draw the reset themselves.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: Any, may_probe: Callable[[], bool]
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._may_probe = may_probe
        self._probed = False
        self._timer = loop.call_later(_PROBE_AFTER_S, self._look)

    def end(self) -> None:
        """Stop the timer."""
        self._timer.cancel()

    def _look(self) -> None:
        if self._transport.is_closing():
            return
        if _is_reset(self._transport.get_extra_info("socket")):
            self._transport.abort()
            return
        wait_s = _LOOK_EVERY_S
        if not self._probed and self._may_probe() and not self._transport.get_write_buffer_size():
            self._transport.write(_PROBE)
            wait_s = _RESET_WITHIN_S
        self._probed = True
        self._timer = self._loop.call_later(wait_s, self._look)


def _is_reset(sock: socket.socket) -> bool:
    # The event loop does not watch a connection that it neither reads nor writes.
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE
    except (AttributeError, OSError):  # another system, or closed already
        return False
