"""Which waiting texts run next. Pure: no clock, no asyncio, no numpy.

It does not know what a text says, who waits for it or how a batch is run.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from serving.batching.queue import ONLY_FLOW, Backlog, Flow, Queue, Waiting
from serving.bundles.bundle import VariantKey
from serving.inference.cost_model import Lane
from serving.inference.packing import lay_out

# The weight of one plan is this much that of the next: about the last twenty count.
_RECENT = 0.95


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch to run now: texts of one variant, never empty."""

    variant: VariantKey
    texts: list[Waiting]
    predicted_s: float
    cells: int
    """Tokens that are computed, padding included."""


class Scheduler:
    """A queue per variant over shared slots; every plan serves the text whose turn it is.

    Turns are start-time fair queueing (Goyal, Vin and Cheng 1996): each flow gets slot time by
    its weight while others wait, and all of it while none does. Within a flow, and so when there
    is one, the oldest is first. Work-conserving: `plan` answers whenever something waits, and
    never holds a text back to wait for company. Starvation-free: no weight is 0.
    """

    def __init__(self, lanes: Mapping[VariantKey, Lane], slots: int) -> None:
        """`slots` is the number of plans that run at a time."""
        self._lanes = dict(lanes)
        self._slots = slots
        self._queues = {variant: Queue() for variant in lanes}
        self._arrivals = 0
        self._fair_s = 0.0
        """Fair time: how far a flow of weight 1 that always waits has been served."""
        self._served_until_s: dict[Flow, float] = {}
        self._waiting_s: defaultdict[Flow, float] = defaultdict(float)
        self._running_s = 0.0
        self._running_texts = 0
        self._recent_s = 0.0
        self._recent_predicted_s = 0.0

    def add_lane(self, variant: VariantKey, lane: Lane) -> None:
        """Take texts for one more variant."""
        self._lanes[variant] = lane
        self._queues[variant] = Queue()

    def remove_lane(self, variant: VariantKey) -> None:
        """Take no more texts for a variant that none waits for."""
        del self._lanes[variant], self._queues[variant]

    def waiting_texts(self, variant: VariantKey, flow: Flow | None = None) -> int:
        """Number of texts in the variant's queue, of all flows or of one."""
        queue = self._queues[variant]
        return len(queue.by_length) if flow is None else len(queue.by_flow.get(flow, ()))

    def backlog(self) -> Backlog:
        """What there is to do now."""
        return Backlog(dict(self._waiting_s), self._running_s, self._slots, self._pace())

    def wait_s(self, variant: VariantKey, lengths: list[int], flow: Flow) -> float:
        """Predicted seconds until texts of these lengths that arrive now have had their turn."""
        lane = self._lanes[variant]
        return self.backlog().wait_s(flow, sum(map(lane.share_s, lengths)))

    def work_s(self, variant: VariantKey, lengths: list[int]) -> float:
        """Predicted seconds that texts of these lengths take with nobody before them."""
        lane = self._lanes[variant]
        spread_s = sum(map(lane.share_s, lengths)) / self._slots
        return max(spread_s, lane.seconds(1, max(lengths))) * self._pace()

    def _pace(self) -> float:
        """Real seconds to predicted ones, of late."""
        return self._recent_s / self._recent_predicted_s if self._recent_predicted_s else 1.0

    def add(
        self,
        variant: VariantKey,
        length: int,
        owner: Any,
        flow: Flow = ONLY_FLOW,
        since_s: float | None = None,
    ) -> Waiting:
        """Put one text of `length` tokens (>= 1) at the end of its flow.

        One that has waited in another queue keeps the fair time of its turn there, `since_s`.
        """
        start_s, share_s = self._start_s(flow), self._lanes[variant].share_s(length)
        turn = (start_s if since_s is None else min(since_s, start_s), self._arrivals)
        text = Waiting(length, self._arrivals, variant, owner, flow, turn)
        self._arrivals += 1
        self._served_until_s[flow] = start_s + share_s / flow.weight
        self._queues[variant].add(text)
        self._waiting_s[flow] += share_s
        return text

    def _start_s(self, flow: Flow) -> float:
        return max(self._fair_s, self._served_until_s.get(flow, 0.0))

    def hasten(self, text: Waiting, flow: Flow) -> Waiting:
        """Let a text that `flow` wants as well have its turn there, if that is sooner."""
        if flow == text.flow or self._start_s(flow) >= text.turn[0] or not self.remove(text):
            return text
        return self.add(text.variant, text.length, text.owner, flow)

    def waits(self, text: Waiting) -> bool:
        """Whether a text is still in the queue."""
        return text in self._queues[text.variant]

    def remove(self, text: Waiting) -> bool:
        """Take a text out of the queue; False when it is not there (any more)."""
        if not self.waits(text):
            return False
        self._queues[text.variant].remove(text)
        self._waiting_s[text.flow] -= self._lanes[text.variant].share_s(text.length)
        return True

    def plan(self) -> Plan | None:
        """Take the next batch out of the queue; None when nothing waits.

        The variant is that of the text whose turn it is. Packed, it is run with those next in
        turn, up to the token budget and a fair share of what is outstanding. Padded, the batch
        grows around it, within the same limits, towards whichever neighbour in length gives the
        better predicted speed-up over running the texts one by one, and stops at the best size
        seen.
        """
        queues = [queue for queue in self._queues.values() if queue.by_length]
        if not queues:
            return None
        queue = min(queues, key=lambda queue: next(queue.in_turn()).turn)
        first = next(queue.in_turn())
        lane = self._lanes[first.variant]
        outstanding = self._running_texts + sum(len(q.by_length) for q in queues)
        share = -(-outstanding // self._slots)
        if lane.packed:
            texts = _next(queue.in_turn(), lane, share)
        else:
            texts = _grow(queue.by_length, first, lane, share)
        for text in texts:
            self.remove(text)
        self._pass(first.turn[0])
        layout = lay_out([text.length for text in texts], packed=lane.packed)
        predicted_s = lane.seconds(layout.rows, layout.tokens)
        plan = Plan(first.variant, texts, predicted_s, layout.cells)
        self._running_s += plan.predicted_s
        self._running_texts += len(texts)
        return plan

    def _pass(self, start_s: float) -> None:
        """Fair time is that of the text whose turn it was; flows that it has overtaken start anew.

        When nobody waits, all do.
        """
        self._fair_s = max(self._fair_s, start_s)
        for flow in [flow for flow in self._waiting_s if not self._waits(flow)]:
            del self._waiting_s[flow]
        self._served_until_s = {
            flow: until_s
            for flow, until_s in self._served_until_s.items()
            if self._waiting_s and until_s > self._fair_s
        }

    def _waits(self, flow: Flow) -> bool:
        return any(flow in queue.by_flow for queue in self._queues.values())

    def finished(self, plan: Plan, seconds: float) -> None:
        """Tell that a plan's slot is free again, and how long the plan really took.

        Predictions follow what is measured: warm-up does not know who else will use the cores.
        """
        self._recent_s = _RECENT * self._recent_s + seconds
        self._recent_predicted_s = _RECENT * self._recent_predicted_s + plan.predicted_s
        self._running_s -= plan.predicted_s
        self._running_texts -= len(plan.texts)


def _next(in_turn: Iterable[Waiting], lane: Lane, most_texts: int) -> list[Waiting]:
    """The texts that are next in turn, at least one."""
    texts: list[Waiting] = []
    tokens = 0
    for text in islice(in_turn, most_texts):
        tokens += text.length
        if texts and tokens > lane.max_batch_tokens:
            break
        texts.append(text)
    return texts


def _grow(by_length: list[Waiting], first: Waiting, lane: Lane, most_texts: int) -> list[Waiting]:
    """The best run of neighbours in length that contains `first`, shortest first."""
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
