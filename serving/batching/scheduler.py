"""Start-time fair queueing: which queued texts run next. Pure: no clock, no asyncio, no numpy."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from serving.batching.queue import ONLY_FLOW, Backlog, Flow, Queue, QueuedText
from serving.bundles.bundle import VariantKey
from serving.inference.cost_model import Lane
from serving.inference.packing import lay_out

# Exponential decay of the measured pace: about the last twenty plans count.
_RECENT = 0.95


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch to run now: at least one text, all of one variant."""

    variant: VariantKey
    texts: list[QueuedText]
    predicted_s: float
    cells: int
    """Tokens that the engine computes, padding included."""


class Scheduler:
    """A queue per variant over shared slots; every plan serves the text that is next in order.

    Texts are scheduled by start-time fair queueing (SFQ; Goyal, Vin and Cheng 1996): a text's start
    tag is the finish tag of its flow's previous text, or the virtual time if the flow was idle, and
    the lowest start tag is next. So each flow gets slot time in proportion to its weight while
    others are queued, and all of it while none is; within a flow the oldest text is first.
    Work-conserving: `plan` never holds a text back to wait for others. Starvation-free: no weight
    is 0.
    """

    def __init__(self, lanes: Mapping[VariantKey, Lane], slots: int) -> None:
        """`slots` is the number of plans that run at a time."""
        self._lanes = dict(lanes)
        self._slots = slots
        self._queues = {variant: Queue() for variant in lanes}
        self._arrivals = 0
        self._virtual_time_s = 0.0
        """How far a flow of weight 1 that is never idle has been served."""
        self._finish_tags_s: dict[Flow, float] = {}
        self._queued_s: defaultdict[Flow, float] = defaultdict(float)
        self._running_s = 0.0
        self._running_texts = 0
        self._recent_s = 0.0
        self._recent_predicted_s = 0.0

    def add_lane(self, variant: VariantKey, lane: Lane) -> None:
        """Accept texts of one more variant."""
        self._lanes[variant] = lane
        self._queues[variant] = Queue()

    def remove_lane(self, variant: VariantKey) -> None:
        """Accept no more texts of a variant that has none queued."""
        del self._lanes[variant], self._queues[variant]

    def queued_texts(self, variant: VariantKey, flow: Flow | None = None) -> int:
        """Count the queued texts of a variant, of all flows or of one."""
        queue = self._queues[variant]
        return len(queue.by_length) if flow is None else len(queue.by_flow.get(flow, ()))

    def backlog(self) -> Backlog:
        """Sum up the outstanding work."""
        return Backlog(dict(self._queued_s), self._running_s, self._slots, self._pace())

    def wait_s(self, variant: VariantKey, lengths: Sequence[int], flow: Flow) -> float:
        """Predict the seconds until texts of these lengths that arrive now have all started."""
        lane = self._lanes[variant]
        return self.backlog().wait_s(flow, sum(map(lane.share_s, lengths)))

    def work_s(self, variant: VariantKey, lengths: Sequence[int]) -> float:
        """Predict the seconds that texts of these lengths take on an idle server."""
        lane = self._lanes[variant]
        spread_s = sum(map(lane.share_s, lengths)) / self._slots
        return max(spread_s, lane.seconds(1, max(lengths))) * self._pace()

    def _pace(self) -> float:
        """Recent ratio of measured to predicted seconds."""
        return self._recent_s / self._recent_predicted_s if self._recent_predicted_s else 1.0

    def add(
        self,
        variant: VariantKey,
        length: int,
        owner: Any,
        flow: Flow = ONLY_FLOW,
        start_tag_s: float | None = None,
    ) -> QueuedText:
        """Queue one text of `length` tokens (>= 1) at the end of its flow.

        A text that was queued for another variant before keeps that `start_tag_s`.
        """
        next_s, share_s = self._start_tag_s(flow), self._lanes[variant].share_s(length)
        order = (next_s if start_tag_s is None else min(start_tag_s, next_s), self._arrivals)
        text = QueuedText(length, self._arrivals, variant, owner, flow, order)
        self._arrivals += 1
        self._finish_tags_s[flow] = next_s + share_s / flow.weight
        self._queues[variant].add(text)
        self._queued_s[flow] += share_s
        return text

    def _start_tag_s(self, flow: Flow) -> float:
        return max(self._virtual_time_s, self._finish_tags_s.get(flow, 0.0))

    def expedite(self, text: QueuedText, flow: Flow) -> QueuedText:
        """Move a queued text to `flow`, which wants it too, if it starts sooner there."""
        if flow == text.flow or self._start_tag_s(flow) >= text.order[0] or not self.remove(text):
            return text
        return self.add(text.variant, text.length, text.owner, flow)

    def is_queued(self, text: QueuedText) -> bool:
        """Return whether a text is still in the queue."""
        return text in self._queues[text.variant]

    def remove(self, text: QueuedText) -> bool:
        """Remove a text from the queue; False if it is no longer there."""
        if not self.is_queued(text):
            return False
        self._queues[text.variant].remove(text)
        self._queued_s[text.flow] -= self._lanes[text.variant].share_s(text.length)
        return True

    def plan(self) -> Plan | None:
        """Take the next batch out of the queue; None if no text is queued.

        The variant is that of the text that is next in order. A packed batch takes the texts after
        it in order, up to the token budget and a fair share of the outstanding texts. A padded one
        grows from it, within the same limits, towards the neighbour in length with the better
        predicted speed-up over running the texts one by one, and ends at the best size seen.
        """
        queues = [queue for queue in self._queues.values() if queue.by_length]
        if not queues:
            return None
        queue = min(queues, key=lambda queue: next(queue.in_order()).order)
        first = next(queue.in_order())
        lane = self._lanes[first.variant]
        outstanding = self._running_texts + sum(len(q.by_length) for q in queues)
        share = -(-outstanding // self._slots)
        if lane.packed:
            texts = _next(queue.in_order(), lane, share)
        else:
            texts = _grow(queue.by_length, first, lane, share)
        for text in texts:
            self.remove(text)
        self._advance(first.order[0])
        layout = lay_out(tuple([text.length for text in texts]), packed=lane.packed)
        predicted_s = lane.seconds(layout.rows, layout.tokens)
        plan = Plan(first.variant, texts, predicted_s, layout.cells)
        self._running_s += plan.predicted_s
        self._running_texts += len(texts)
        return plan

    def _advance(self, start_tag_s: float) -> None:
        """Advance virtual time to the started text; forget the tags of flows that it has overtaken.

        With no text queued, every flow starts afresh.
        """
        self._virtual_time_s = max(self._virtual_time_s, start_tag_s)
        for flow in [flow for flow in self._queued_s if not self._has_queued(flow)]:
            del self._queued_s[flow]
        self._finish_tags_s = {
            flow: until_s
            for flow, until_s in self._finish_tags_s.items()
            if self._queued_s and until_s > self._virtual_time_s
        }

    def _has_queued(self, flow: Flow) -> bool:
        return any(flow in queue.by_flow for queue in self._queues.values())

    def finished(self, plan: Plan, seconds: float) -> None:
        """Free the slot of a plan that took this many seconds.

        Predictions follow the measured pace: warm-up cannot know what else will use the cores.
        """
        self._recent_s = _RECENT * self._recent_s + seconds
        self._recent_predicted_s = _RECENT * self._recent_predicted_s + plan.predicted_s
        self._running_s -= plan.predicted_s
        self._running_texts -= len(plan.texts)


def _next(in_order: Iterable[QueuedText], lane: Lane, most_texts: int) -> list[QueuedText]:
    """Take the first texts in order, at least one."""
    texts: list[QueuedText] = []
    tokens = 0
    for text in islice(in_order, most_texts):
        tokens += text.length
        if texts and tokens > lane.max_batch_tokens:
            break
        texts.append(text)
    return texts


def _grow(
    by_length: list[QueuedText], first: QueuedText, lane: Lane, most_texts: int
) -> list[QueuedText]:
    """Find the best run of neighbours in length that contains `first`, shortest first."""
    start = bisect_left(by_length, first)
    stop = start + 1
    alone_s = lane.seconds(1, first.length)
    best = (1.0, start, stop)
    while stop - start < most_texts:
        texts = stop - start + 1
        longest = by_length[stop - 1].length
        options = []
        if start > 0 and texts * longest <= lane.max_batch_tokens:
            saved_s = alone_s + lane.seconds(1, by_length[start - 1].length)
            options.append((saved_s / lane.seconds(texts, longest), saved_s, start - 1, stop))
        if stop < len(by_length) and texts * by_length[stop].length <= lane.max_batch_tokens:
            length = by_length[stop].length
            saved_s = alone_s + lane.seconds(1, length)
            options.append((saved_s / lane.seconds(texts, length), saved_s, start, stop + 1))
        if not options:
            break
        speedup, alone_s, start, stop = max(options)
        best = max(best, (speedup, start, stop))
    return by_length[best[1] : best[2]]
