"""Request coalescing: equal inputs of several requests are run once, or not at all if cached."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from serving.batching.interface import InferenceResult
from serving.batching.queue import QueuedText
from serving.bundles.bundle import VariantKey
from serving.errors import ServedError
from serving.inference.inputs import Item

CacheKey = tuple[VariantKey, bytes]
"""What the logits depend on: the version, and a digest of the input as the engine reads it."""


@dataclass(eq=False, slots=True)
class PendingText:
    """One input that is queued or running, and the requests that need it.

    Without a `cache_key` no other request may join them.
    """

    item: Item
    cache_key: CacheKey | None
    queued: QueuedText | None = None
    requests: set["PendingRequest"] = field(default_factory=set)

    def fail(self, error: ServedError) -> None:
        """Fail every request that needs it."""
        for request in self.requests:
            if not request.future.done():
                request.future.set_exception(error)


@dataclass(eq=False, slots=True)
class PendingRequest:
    """The inputs of one request; all are answered, or the request fails.

    `missing` maps each input without a result to its positions in `results`.
    """

    future: asyncio.Future[list[InferenceResult]]
    submitted_s: float
    results: list[InferenceResult | None]
    missing: dict[PendingText, list[int]] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        """Number of results so far."""
        return sum(result is not None for result in self.results)

    def answer(self, text: PendingText, result: InferenceResult) -> None:
        """Store a result at all its positions; the last one completes the request."""
        for position in self.missing.pop(text):
            self.results[position] = result
        if not self.missing and not self.future.done():
            self.future.set_result(self.complete())

    def complete(self) -> list[InferenceResult]:
        """Return all results in order, once none is missing."""
        return [result for result in self.results if result]


class Coalescer:
    """The texts that are queued or running, and the most recently used logits, by cache key."""

    def __init__(self, cache_texts: int) -> None:
        """Cache the logits of at most `cache_texts` inputs; 0 disables the cache."""
        self._cache_texts = cache_texts
        self._pending: dict[CacheKey, PendingText] = {}
        self._logits: OrderedDict[CacheKey, list[float]] = OrderedDict()

    def collect(
        self, request: PendingRequest, variant: VariantKey, items: Sequence[Item], *, reuse: bool
    ) -> list[PendingText]:
        """Answer cached items and note missing ones; return those that no request has queued."""
        new: dict[CacheKey, PendingText] = {}
        fresh = []
        for position, item in enumerate(items):
            cache_key = (variant, item.digest()) if reuse else None
            if cache_key and cache_key in self._logits:
                self._logits.move_to_end(cache_key)
                request.results[position] = InferenceResult(self._logits[cache_key], 0.0, 0.0)
                continue
            text = (self._pending.get(cache_key) or new.get(cache_key)) if cache_key else None
            if not text:
                text = PendingText(item, cache_key)
                fresh.append(text)
                if cache_key:
                    new[cache_key] = text
            request.missing.setdefault(text, []).append(position)
        return fresh

    def join(self, request: PendingRequest) -> None:
        """Let the request wait for its missing texts, and other requests join it there."""
        for text in request.missing:
            text.requests.add(request)
            if text.cache_key:
                self._pending[text.cache_key] = text

    def leave(self, request: PendingRequest) -> list[PendingText]:
        """Let the request wait no longer; return the texts that no request needs any more."""
        for text in request.missing:
            text.requests.discard(request)
        return [text for text in request.missing if not text.requests]

    def finish(self, text: PendingText, logits: list[float]) -> None:
        """Cache the logits of a text that has run, and evict the least recently used."""
        self.forget(text)
        if text.cache_key and self._cache_texts:
            self._logits[text.cache_key] = logits
            if len(self._logits) > self._cache_texts:
                self._logits.popitem(last=False)

    def forget(self, text: PendingText) -> None:
        """Let no further request join a text."""
        if text.cache_key:
            self._pending.pop(text.cache_key, None)
