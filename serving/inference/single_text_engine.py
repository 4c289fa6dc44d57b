"""Two engines over one bundle as one: a text that comes alone gets all cores.

It does not know how an engine works, nor how the two were chosen.
"""

from collections.abc import Sequence
from threading import Lock

from serving.inference.engine import Engine, Logits
from serving.inference.inputs import Item


class LoneTexts:
    """`many` for batches and for runs beside others, `one` for a single text while nothing runs."""

    def __init__(self, many: Engine, one: Engine) -> None:
        """Both run the same bundle, in the same layout."""
        self.slots = many.slots
        self.packed = many.packed
        self.example = many.example
        self._many = many
        self._one = one
        self._running = 0
        self._lock = Lock()

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
