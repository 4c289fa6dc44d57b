"""Shadow requests: ask a second classifier in the background, and count differing labels.

Used for shadow versions, and for the sample of texts that watches a cascade.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from serving.batching.queue import Flow, Terms
from serving.errors import ServedError
from serving.inference.inputs import Handling, Row, Text
from serving.variants.classifier import Classifier

_MOST_REQUESTS = 64
_LEAST_URGENT = 7


class ShadowRequests:
    """The shadow requests of a family: at most 64 at a time, further ones are dropped."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __bool__(self) -> bool:
        """Whether any is running."""
        return bool(self._tasks)

    def compare(
        self,
        classifier: Classifier,
        inputs: Sequence[Text | Row],
        labels: Sequence[list[str]],
        terms: Terms,
        on_compared: Callable[[int], None],
        *,
        long: Handling,
    ) -> None:
        """Classify in the background; `on_compared` receives how many inputs got other `labels`.

        A shadow request that is refused or late is dropped.
        """
        if len(self._tasks) >= _MOST_REQUESTS:
            return
        flow = Flow(terms.flow.caller, _LEAST_URGENT)
        terms = replace(terms, flow=flow, start_tag_s=None, on_windows=None)

        async def compare() -> None:
            with suppress(ServedError):
                shadow = await classifier.classify(inputs, terms, long=long)
                found = map(shadow.labels_of, shadow.answers)
                different = sum(ours != theirs for ours, theirs in zip(labels, found, strict=True))
                on_compared(different)

        task = asyncio.create_task(compare())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
