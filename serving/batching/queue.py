"""Queued texts by flow, length and scheduling order. Pure: no clock, no asyncio."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import merge
from operator import attrgetter
from typing import Any, NamedTuple

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


@dataclass(frozen=True, slots=True)
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
        return self._real_s(
            sum(
                queued_s if other == flow else min(queued_s, own_s * other.weight / flow.weight)
                for other, queued_s in self.queued_s.items()
            )
        )

    def _real_s(self, queued_s: float) -> float:
        return max(0.0, queued_s + self.running_s) / self.slots * self.pace


@dataclass(frozen=True, slots=True, order=True)
class QueuedText:
    """A text in the queue; texts compare by length, then by arrival.

    `order` is its place in scheduling order: its start tag (see Scheduler), then its arrival.
    `owner` belongs to whoever added the text and is never read here.
    """

    length: int
    arrival: int
    variant: VariantKey = field(compare=False)
    owner: Any = field(compare=False)
    flow: Flow = field(compare=False)
    order: tuple[float, int] = field(compare=False)


_order = attrgetter("order")


@dataclass(slots=True)
class Queue:
    """The queued texts of one variant."""

    arrivals: set[int] = field(default_factory=set)
    by_flow: dict[Flow, list[QueuedText]] = field(default_factory=dict)
    """Each flow's texts in scheduling order."""
    by_length: list[QueuedText] = field(default_factory=list)

    def add(self, text: QueuedText) -> None:
        """Add a text."""
        self.arrivals.add(text.arrival)
        insort(self.by_flow.setdefault(text.flow, []), text, key=_order)
        insort(self.by_length, text)

    def __contains__(self, text: QueuedText) -> bool:
        return text.arrival in self.arrivals

    def remove(self, text: QueuedText) -> None:
        """Remove a queued text."""
        self.arrivals.remove(text.arrival)
        flow = self.by_flow[text.flow]
        del flow[bisect_left(flow, text.order, key=_order)]
        if not flow:
            del self.by_flow[text.flow]
        del self.by_length[bisect_left(self.by_length, text)]

    def in_order(self) -> Iterator[QueuedText]:
        """Iterate in scheduling order."""
        return merge(*self.by_flow.values(), key=_order)
