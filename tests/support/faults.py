"""Engines that misbehave on purpose: the only faults, injected at the seam `Engine`."""

import threading
import time

import numpy as np


class EchoEngine:
    """Answers each text with (its first id, its length), so that a mix-up shows."""

    def __init__(self, slots=2, seconds=0.0):
        self.slots = slots
        self.packed = False
        self.seconds = seconds
        self.batches = []
        self.running = 0
        self.most_running = 0
        self._lock = threading.Lock()

    def run(self, batch):
        with self._lock:
            self.batches.append([item.length for item in batch])
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        if self.seconds:
            time.sleep(self.seconds)
        with self._lock:
            self.running -= 1
        return np.array([[item.ids[0], item.length] for item in batch], dtype=np.float32)


class Panic(BaseException):
    """Like the panics of a library in Rust, which are no Exception."""


class FailingEngine(EchoEngine):
    """Raises `error` for every batch that contains a text whose first id is `poison`."""

    def __init__(self, poison, error=RuntimeError, **kwargs):
        super().__init__(**kwargs)
        self.poison = poison
        self.error = error

    def run(self, batch):
        logits = super().run(batch)
        if any(item.ids[0] == self.poison for item in batch):
            raise self.error("poisoned")
        return logits


class ShortEngine(EchoEngine):
    """Answers one row too few."""

    def run(self, batch):
        return super().run(batch)[:-1]


class StuckEngine(EchoEngine):
    """Does not come back until it is released."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.release = threading.Event()
        self.held = 0

    def run(self, batch):
        with self._lock:
            self.held += 1
        self.release.wait(30)
        return super().run(batch)


class MeetingEngine(EchoEngine):
    """Comes back only once all its slots run a batch."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._met = threading.Barrier(self.slots)

    def run(self, batch):
        self._met.wait(30)
        return super().run(batch)
