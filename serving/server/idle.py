"""The time for which a connection is kept between requests, with one timer for many of them."""

import asyncio
from collections.abc import Callable

# uvloop's clock and timers count milliseconds.
_RESOLUTION_S = 0.001


class Idle:
    """Calls `on_passed` once a connection has been idle for so many seconds.

    Starting a timer after each request and cancelling it at the next costs more than to look, when
    the one timer passes, for how long the connection has been idle by then.
    """

    since: float | None = None
    """Since when the connection is idle, on the loop's clock; None while it is not."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, on_passed: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._on_passed: Callable[[], None] | None = on_passed
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Begin to be idle."""
        self.since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._pass)

    def end(self) -> None:
        """Stop the timer; nothing is called any more."""
        self.since = self._on_passed = None
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _pass(self) -> None:
        self._timer = None
        if self.since is None or self._on_passed is None:
            return
        left_s = self.since + self._seconds - self._loop.time()
        if left_s > _RESOLUTION_S:
            self._timer = self._loop.call_later(left_s, self._pass)
        else:
            self.since = None
            self._on_passed()
