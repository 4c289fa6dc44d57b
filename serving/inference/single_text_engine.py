"""An engine that gives a single text all cores while nothing else runs."""

from collections.abc import Sequence
from threading import Lock
from typing import Self

from serving.inference.engine import Engine, Logits
from serving.inference.inputs import Item


class SingleTextEngine:
    """Runs a single text on `one` while nothing else runs, everything else on `many`."""

    def __init__(self, many: Engine, one: Engine) -> None:
        """Take two engines of the same bundle and layout."""
        self.slots = many.slots
        self.packed = many.packed
        self.preempts = many.preempts
        self.example = many.example
        self.computing: str = getattr(many, "computing", "")
        self._many = many
        self._one = one
        self._running = 0
        self._lock = Lock()

    def unpacked(self) -> Self:
        """See Engine.unpacked."""
        return type(self)(self._many.unpacked(), self._one.unpacked())

    def run(self, batch: Sequence[Item]) -> Logits:
        """See Engine.run."""
        with self._lock:
            engine = self._many if self._running or len(batch) > 1 else self._one
            self._running += 1
        try:
            return engine.run(batch)
        finally:
            with self._lock:
                self._running -= 1

    def run_checked(self, batch: Sequence[Item]) -> Logits:
        """See Engine.run_checked."""
        return self._many.run_checked(batch)
