"""Asks a second classifier after the answer, and hears how often it says otherwise.

It does not know why: whether a new version is tried or a cascade is watched.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from serving.batching.queue import Flow, Terms
from serving.errors import ServedError
from serving.inference.inputs import Row, Text
from serving.variants.classifier import Classifier

_MOST = 64
_LEAST_URGENT = 7


class Unseen:
    """Questions whose answers are only compared; at most 64 at a time, the rest is left out."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __bool__(self) -> bool:
        """Whether any is open."""
        return bool(self._tasks)

    def compare(
        self,
        classifier: Classifier,
        inputs: Sequence[Text | Row],
        seen: Sequence[list[str]],
        terms: Terms,
        on_compared: Callable[[int], None],
    ) -> None:
        """Ask, in the background; `on_compared` hears how many had other labels than were `seen`.

        What it cannot answer in time is left out.
        """
        if len(self._tasks) >= _MOST:
            return
        terms = replace(terms, flow=Flow(terms.flow.caller, _LEAST_URGENT), since_s=None)

        async def compare() -> None:
            with suppress(ServedError):
                unseen = await classifier.classify(inputs, terms)
                found = map(unseen.labels_of, unseen.answers)
                on_compared(sum(ours != theirs for ours, theirs in zip(seen, found, strict=True)))

        task = asyncio.create_task(compare())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
