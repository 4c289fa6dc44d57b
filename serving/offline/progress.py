"""Progress of a long run: a bar on a terminal, otherwise a line from time to time."""

from collections.abc import Callable
from datetime import timedelta
from threading import Lock
from typing import TextIO

_TERMINAL_EVERY_S, _LOG_EVERY_S = 0.5, 30.0


class Progress:
    """Counts texts; shows the rate and the remaining time. Thread-safe."""

    def __init__(self, total: int, done: int, screen: TextIO, clock: Callable[[], float]) -> None:
        """`done` texts are from an earlier run and do not count in the rate."""
        self._total = total
        self._done = self._began = done
        self._screen = screen
        self._clock = clock
        self._began_s = clock()
        self._lock = Lock()
        self._terminal = screen.isatty()
        self._every_s = _TERMINAL_EVERY_S if self._terminal else _LOG_EVERY_S
        self._next_s = self._began_s + self._every_s

    def add(self, texts: int) -> None:
        """Count finished texts."""
        with self._lock:
            self._done += texts
            now_s = self._clock()
            if now_s < self._next_s and self._done < self._total:
                return
            self._next_s = now_s + self._every_s
            line = self._line(now_s - self._began_s)
            ends = self._done >= self._total or not self._terminal
            print("\r\x1b[K" * self._terminal + line, end="\n" if ends else "",
                  file=self._screen, flush=True)  # fmt: skip

    def _line(self, seconds: float) -> str:
        rate = (self._done - self._began) / max(seconds, 1e-9)
        left = timedelta(seconds=round((self._total - self._done) / rate)) if rate else "?"
        return (
            f"{self._done / max(self._total, 1):4.0%}  {self._done:,} of {self._total:,} texts, "
            f"{rate:,.0f} texts/s, {left} left"
        )
