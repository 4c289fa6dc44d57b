"""Judges the silence of another process by the time in which this process ran."""

import asyncio
from collections.abc import Callable

# A second each. While this process, or the whole machine, is paused or stalled, none passes.
_SILENT_TICKS = 10
_GONE_TICKS = 15


class Silence:
    """Counts the ticks of this loop since the other process was `heard`. Lives on one event loop.

    Calls `on_silent` after ten, `on_gone` after fifteen, and `on_tick` each time.
    """

    def __init__(
        self,
        tick_s: float,
        *,
        on_silent: Callable[[], None],
        on_gone: Callable[[], None],
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.silent = False
        self._ticks = 0
        self._tick_s = tick_s
        self._on_silent = on_silent
        self._on_gone = on_gone
        self._on_tick = on_tick
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(tick_s, self._tick)

    def heard(self) -> bool:
        """Begin anew; return whether the other process had been silent."""
        was_silent, self.silent, self._ticks = self.silent, False, 0
        return was_silent

    def end(self) -> None:
        """Stop counting."""
        self._timer.cancel()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(self._tick_s, self._tick)
        self._ticks += 1
        if self._ticks == _SILENT_TICKS:
            self.silent = True
            self._on_silent()
        elif self._ticks == _GONE_TICKS:
            self._on_gone()
        self._on_tick()
