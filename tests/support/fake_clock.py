"""A clock that goes only when it is told to, or by a tick each time that it is read."""

import threading


class FakeClock:
    def __init__(self, tick_s=0.0):
        self._now_s = 0.0
        self._tick_s = tick_s
        self._lock = threading.Lock()

    def __call__(self):
        self.advance(self._tick_s)
        return self._now_s

    def advance(self, seconds):
        with self._lock:
            self._now_s += seconds
