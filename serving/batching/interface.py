"""What the layers above need of batching: submit texts of one variant, get their logits."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from serving.batching.queue import Terms
from serving.bundles.bundle import VariantKey
from serving.inference.inputs import Item


@dataclass(slots=True)
class InferenceResult:
    """The logits of one text, one for each label, and the seconds spent on them; 0 if cached.

    `start_tag_s` is the start tag with which the text was scheduled; None if cached.
    """

    logits: list[float]
    queue_s: float
    engine_s: float
    start_tag_s: float | None = None


class Submits(Protocol):
    """Runs texts: the batcher, or a runtime in front of one."""

    def submit(
        self, variant: VariantKey, items: Sequence[Item], terms: Terms
    ) -> "asyncio.Future[list[InferenceResult]]":
        """Queue all items (>= 1) or none; the future has their results, in order.

        Cancelling it frees their places in the queue. Raises, or the future does, Overloaded when
        the queue has no room or other requests make the deadline impossible, DeadlineMissed when
        the deadline is too short even for an idle server or passes while the texts are queued,
        EngineFailed when a batch with one of the texts fails.
        """
