"""Request coalescing: equal inputs of a caller are run once, or not at all if cached.

Callers share nothing: neither a time nor a header tells one what another has sent.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from serving.batching.interface import InferenceResult
from serving.batching.queue import QueuedText, Terms
from serving.bundles.bundle import VariantKey
from serving.errors import ServedError
from serving.inference.inputs import Item

CacheKey = tuple[VariantKey, str, bytes]
"""The version, the caller, and the input as the engine reads it."""


class Waiter(Protocol):
    """Who waits for a request's results: an asyncio.Future, or what behaves like one."""

    def done(self) -> bool:
        """Whether it waits no longer."""

    def set_result(self, results: list[InferenceResult], /) -> None:
        """Take the results, in order."""

    def set_exception(self, error: ServedError, /) -> None:
        """Take the error that the request failed with."""


class PendingText(QueuedText):
    """One input that is queued or running, and the places in requests that wait for it.

    Without a `cache_key` no other request may join them.
    """

    __slots__ = ("cache_key", "item", "places")

    def __init__(self, item: Item, cache_key: CacheKey | None) -> None:
        self.item = item
        self.length = item.length
        self.cache_key = cache_key
        self.queued = False
        self.places: list[tuple[PendingRequest, int]] = []


class PendingRequest:
    """The inputs of one request; all are answered, or the request fails.

    `texts` are those without a result, `missing` counts the places that they have in `results`.
    """

    __slots__ = ("expiring", "missing", "results", "submitted_s", "texts", "waiter")

    def __init__(self, waiter: Waiter, submitted_s: float) -> None:
        self.waiter: Waiter | None = waiter
        """None once the request has ended."""
        self.submitted_s = submitted_s
        self.results: list[InferenceResult | None] = []
        self.texts: list[PendingText] = []
        self.missing = 0
        self.expiring: set[PendingRequest] = set()
        """Those with the same deadline, itself included."""


class Coalescer:
    """The texts that are queued or running, and the most recently used logits, by cache key."""

    def __init__(self, cache_texts: int) -> None:
        """Cache the logits of at most `cache_texts` inputs; 0 disables the cache."""
        self._cache_texts = cache_texts
        self._pending: dict[CacheKey, PendingText] = {}
        self._logits: OrderedDict[CacheKey, list[float]] = OrderedDict()

    def collect(
        self, request: PendingRequest, variant: VariantKey, items: Sequence[Item], terms: Terms
    ) -> list[PendingText]:
        """Answer cached items and note the texts for the others; return the new ones of these.

        Nothing else changes before `join`, so a refused request leaves no trace.
        """
        if not terms.reuse:
            for item in items:
                request.texts.append(PendingText(item, None))
            request.results = [None] * len(items)
            request.missing = len(items)
            return request.texts
        new: dict[CacheKey, PendingText] = {}
        caller = terms.flow.caller
        for item in items:
            cache_key = (variant, caller, item.key())
            logits = self._logits.get(cache_key) if self._cache_texts else None
            if logits is not None:
                self._logits.move_to_end(cache_key)
                request.results.append(InferenceResult(logits, 0.0, 0.0))
                continue
            known = self._pending.get(cache_key) or new.get(cache_key)
            if known is None:
                known = new[cache_key] = PendingText(item, cache_key)
            request.results.append(None)
            request.texts.append(known)
        request.missing = len(request.texts)
        return list(new.values())

    def join(self, request: PendingRequest) -> None:
        """Let the request wait for its texts, and other requests join it there."""
        texts = iter(request.texts)
        for position, result in enumerate(request.results):
            if result is None:
                text = next(texts)
                text.places.append((request, position))
                if text.cache_key:
                    self._pending[text.cache_key] = text

    def leave(self, request: PendingRequest) -> list[PendingText]:
        """Let the request wait no longer; return the texts that no request needs any more."""
        for text in request.texts:
            text.places = [place for place in text.places if place[0] is not request]
        return [text for text in request.texts if not text.places]

    def finish(self, text: PendingText, logits: list[float]) -> None:
        """Cache the logits of a text that has run, and evict the least recently used."""
        if text.cache_key:
            if self._pending.get(text.cache_key) is text:
                del self._pending[text.cache_key]
            if self._cache_texts:
                self._logits[text.cache_key] = logits
                if len(self._logits) > self._cache_texts:
                    self._logits.popitem(last=False)

    def forget(self, text: PendingText) -> None:
        """Let no further request join a text."""
        if text.cache_key and self._pending.get(text.cache_key) is text:
            del self._pending[text.cache_key]
