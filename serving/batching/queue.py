"""Queued texts by flow, in scheduling order. Pure: no clock, no asyncio."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter
from typing import NamedTuple

from serving.bundles.bundle import VariantKey

Clock = Callable[[], float]


class Flow(NamedTuple):
    """A caller at one urgency: 0 to 7 as in RFC 9218, where 3 is usual and 7 is background."""

    caller: str = ""
    urgency: int = 3

    @property
    def weight(self) -> float:
        """Share of the slots relative to other flows; each urgency level halves it."""
        return 2.0 ** (3 - self.urgency)


ONLY_FLOW = Flow()


@dataclass(slots=True)
class Terms:
    """When and for whom a request is run.

    `deadline_s` is on the batcher's clock. It bounds the start, not the end: a text whose batch has
    started is answered even if the batch ends late. With `reuse`, the request may be answered from
    the cache or by another request's run. `start_tag_s`: see Scheduler.add.
    """

    deadline_s: float
    flow: Flow = ONLY_FLOW
    reuse: bool = True
    start_tag_s: float | None = None


class Backlog(NamedTuple):
    """Outstanding work at one moment: predicted seconds of slot time, queued and running.

    `pace` is the recent ratio of measured to predicted seconds.
    """

    queued_s: Mapping[Flow, float] = {}
    running_s: float = 0.0
    slots: int = 1
    pace: float = 1.0

    @property
    def total_s(self) -> float:
        """Seconds until all of it is done, if nothing more arrives."""
        return self._real_s(sum(self.queued_s.values()))

    def wait_s(self, flow: Flow, more_s: float = 0.0) -> float:
        """Return the seconds until all of a flow's queue, and `more_s` of slot time, has started.

        Meanwhile other flows get at most the share that their weights allow.
        """
        own_s = self.queued_s.get(flow, 0.0) + more_s
        queued_s = 0.0
        for other, its_s in self.queued_s.items():
            queued_s += its_s if other == flow else min(its_s, own_s * other.weight / flow.weight)
        return self._real_s(queued_s)

    def _real_s(self, queued_s: float) -> float:
        return max(0.0, queued_s + self.running_s) / self.slots * self.pace


class QueuedText:
    """A text of `length` tokens, and its place while it is `queued`, which Scheduler.add sets.

    `order` is its place in scheduling order: its start tag (see Scheduler), then its arrival.
    `share_s` is its predicted slot time.
    """

    __slots__ = ("flow", "length", "order", "queued", "share_s", "variant")

    flow: Flow
    order: tuple[float, int]
    share_s: float
    variant: VariantKey

    def __init__(self, length: int) -> None:
        self.length = length
        self.queued = False


_order = attrgetter("order")


class Queue:
    """The queued texts of one variant, each flow's in scheduling order."""

    __slots__ = ("by_flow", "texts")

    def __init__(self) -> None:
        self.texts = 0
        self.by_flow: dict[Flow, list[QueuedText]] = {}

    def add(self, texts: Sequence[QueuedText], flow: Flow) -> None:
        """Add texts of one flow, in scheduling order."""
        own = self.by_flow.get(flow)
        if own is None:
            own = self.by_flow[flow] = []
        if not own or own[-1].order < texts[0].order:
            own += texts
        else:
            for text in texts:
                insort(own, text, key=_order)
        self.texts += len(texts)

    def remove(self, text: QueuedText) -> None:
        """Remove a queued text."""
        own = self.by_flow[text.flow]
        del own[bisect_left(own, text.order, key=_order)]
        if not own:
            del self.by_flow[text.flow]
        self.texts -= 1

    def remove_first(self, texts: Sequence[QueuedText]) -> None:
        """Remove the first texts in scheduling order, as `in_order` yields them."""
        if len(self.by_flow) == 1:
            ((flow, own),) = self.by_flow.items()
            del own[: len(texts)]
            if not own:
                del self.by_flow[flow]
            self.texts -= len(texts)
            return
        for text in texts:
            self.remove(text)

    def first(self) -> QueuedText:
        """Return the text that is next in scheduling order."""
        if len(self.by_flow) == 1:
            (own,) = self.by_flow.values()
            return own[0]
        return min([own[0] for own in self.by_flow.values()], key=_order)

    def in_order(self) -> Iterator[QueuedText]:
        """Iterate in scheduling order."""
        if len(self.by_flow) == 1:
            (own,) = self.by_flow.values()
            return iter(own)
        return merge(*self.by_flow.values(), key=_order)
