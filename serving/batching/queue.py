"""Queued texts by flow, in scheduling order. Pure: no clock, no asyncio."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import accumulate
from operator import attrgetter
from typing import NamedTuple

from serving.bundles.bundle import VariantKey

Clock = Callable[[], float]


_SIZES = 3
_GROWTH = 8


class Flow(NamedTuple):
    """A caller's requests of one urgency and size.

    The urgency is 0 to 7 as in RFC 9218, where 3 is usual and 7 is background; `size` see `sized`.
    """

    caller: str = ""
    urgency: int = 3
    size: int = 0

    def sized(self, texts: int, tokens: int, batch_tokens: int) -> "Flow":
        """Return the flow for a request of this size: 0 fits one full batch, 1 fits eight.

        A single text is never more than 0, however long it is.
        """
        if texts == 1 or tokens <= batch_tokens:
            return self
        return Flow(self.caller, self.urgency, 1 if tokens <= _GROWTH * batch_tokens else 2)

    def all_sizes(self) -> "list[Flow]":
        """Return the flows of this caller and urgency, smallest requests first."""
        return [Flow(self.caller, self.urgency, size) for size in range(_SIZES)]

    @property
    def weight(self) -> float:
        """Share of the slots relative to other flows; each urgency level halves it."""
        return 2.0 ** (3 - self.urgency)


ONLY_FLOW = Flow()


@dataclass(slots=True)
class FlowState:
    """A flow's weight, what it has queued, and the finish tag of its last text."""

    weight: float
    texts: int = 0
    queued_s: float = 0.0
    finish_tag_s: float = 0.0


@dataclass(slots=True)
class Terms:
    """When and for whom a request is run.

    `deadline_s` is on the batcher's clock. It bounds the start, not the end: a text whose batch has
    started is answered even if the batch ends late. With `reuse`, the request may be answered from
    the cache or by another request's run. `start_tag_s`: see Scheduler.add. `on_windows` hears
    how many windows beyond one for each text are about to be queued.
    """

    deadline_s: float
    flow: Flow = ONLY_FLOW
    reuse: bool = True
    start_tag_s: float | None = None
    on_windows: Callable[[int], None] | None = None


class Backlog(NamedTuple):
    """Outstanding work at one moment: predicted seconds of slot time, queued and running.

    `running_s` has the seconds of each running batch of small requests, as predicted at its start,
    `larger_s` those of larger ones, which delay no small request that preempts them. `pace` is the
    recent ratio of measured to predicted seconds.
    """

    queued_s: Mapping[Flow, float] = {}
    running_s: Sequence[float] = ()
    slots: int = 1
    pace: float = 1.0
    larger_s: Sequence[float] = ()

    @property
    def total_s(self) -> float:
        """Seconds until all of it is done, if nothing more arrives."""
        running_s = sum(self.running_s) + sum(self.larger_s)
        return (sum(self.queued_s.values()) + running_s) / self.slots * self.pace

    def wait_s(
        self, flow: Flow, more_s: float = 0.0, *, ahead: bool = False, preempts: bool = True
    ) -> float:
        """Return the seconds until all of a flow's queue, and `more_s` of slot time, has started.

        Meanwhile other flows get at most the share that their weights allow. With `ahead`, the
        flow's own queue does not count. `preempts` see Lane.
        """
        before_s = self._before_s(flow, more_s, ahead=ahead)
        return self._start_s(flow, before_s, preempts=preempts) * self.pace

    def queue_wait_s(self, flow: Flow) -> float:
        """Return how much longer than until the first slot is free a flow's next text waits."""
        before_s = self._before_s(flow, 0.0)
        return (self._start_s(flow, before_s) - self._start_s(flow, 0.0)) * self.pace

    def _start_s(self, flow: Flow, before_s: float, *, preempts: bool = True) -> float:
        """Return when the slots have started that much work of a flow."""
        if preempts and not flow.size:
            return start_s(before_s, self.running_s, self.slots)
        running_s = [*self.larger_s, *self.running_s]
        preempting_s = sum(running_s[self.slots :])
        return start_s(before_s + preempting_s, running_s[: self.slots], self.slots)

    def _before_s(self, flow: Flow, more_s: float, *, ahead: bool = False) -> float:
        queued_s = 0.0 if ahead else self.queued_s.get(flow, 0.0)
        own_s = queued_s + more_s
        weight = self._weight(flow)
        for other, its_s in self.queued_s.items():
            if other != flow:
                queued_s += min(its_s, own_s * self._weight(other) / weight)
        return queued_s

    def _weight(self, flow: Flow) -> float:
        """Return a flow's weight as Scheduler.add divides it among the sizes of its caller."""
        if not flow.size:
            return flow.weight
        sizes = sum(1 for each in flow.all_sizes() if each == flow or each in self.queued_s)
        return flow.weight / sizes


def start_s(before_s: float, running_s: Sequence[float], slots: int) -> float:
    """Return when slots, each free after its running batch, have started that much work."""
    idle = slots - len(running_s)
    if not before_s:
        return 0.0 if idle > 0 else min(running_s)
    all_slots_s = (before_s + sum(running_s)) / slots
    if not running_s or all_slots_s >= max(running_s):
        return all_slots_s
    # A slot whose batch ends later than that takes none of the work.
    ends_s = [0.0] * idle + sorted(running_s)
    return min((before_s + s) / number for number, s in enumerate(accumulate(ends_s), 1))


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


_flow = attrgetter("flow")
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
        for flow, count in Counter(map(_flow, texts)).items():
            own = self.by_flow[flow]
            del own[:count]
            if not own:
                del self.by_flow[flow]
        self.texts -= len(texts)

    def first(self) -> QueuedText:
        """Return the text that is next in scheduling order."""
        if len(self.by_flow) == 1:
            (own,) = self.by_flow.values()
            return own[0]
        return min([own[0] for own in self.by_flow.values()], key=_order)

    def first_small(self) -> QueuedText | None:
        """Return the text of a small request that is next; None without one."""
        firsts = [own[0] for flow, own in self.by_flow.items() if not flow.size]
        return min(firsts, key=_order, default=None)

    def in_order(self, size: int) -> Iterator[QueuedText]:
        """Iterate in scheduling order, over the flows of at most this size."""
        if len(self.by_flow) == 1:
            (own,) = self.by_flow.values()
            return iter(own)
        flows = [own for flow, own in self.by_flow.items() if flow.size <= size]
        return merge(*flows, key=_order) if len(flows) > 1 else iter(flows[0])
