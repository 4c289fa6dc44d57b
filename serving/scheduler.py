"""Which waiting texts run next. Pure: no clock, no asyncio, no numpy.

It does not know what a text says, who waits for it or how a batch is run.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from serving.layout import lay_out

# The weight of one plan is this much that of the next: about the last twenty count.
_RECENT = 0.95

VariantKey = tuple[str, str, str]
"""(family, variant, version)"""


@dataclass(frozen=True, slots=True)
class Lane:
    """What the scheduler has to know of one variant.

    `seconds(rows, tokens)` predicts one run of a grid; a batch of more than one text has at most
    `max_batch_tokens` tokens, padded ones included unless texts are `packed` (layout.py).
    """

    seconds: Callable[[int, int], float]
    max_batch_tokens: int
    packed: bool = False

    def share_s(self, length: int) -> float:
        """Predicted seconds of slot time for one text when batches are full."""
        texts = max(1, self.max_batch_tokens // length)
        return self.seconds(texts, length) / texts


@dataclass(frozen=True, slots=True, order=True)
class Waiting:
    """A text in the queue, ordered by length, then by arrival.

    `owner` is the caller's own and never looked at.
    """

    length: int
    arrival: int
    variant: VariantKey = field(compare=False)
    owner: Any = field(compare=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch to run now: texts of one variant, never empty."""

    variant: VariantKey
    texts: list[Waiting]
    predicted_s: float
    cells: int
    """Tokens that are computed, padding included."""


@dataclass(slots=True)
class _Queue:
    by_arrival: dict[int, Waiting] = field(default_factory=dict)
    by_length: list[Waiting] = field(default_factory=list)

    def remove(self, text: Waiting) -> None:
        del self.by_arrival[text.arrival]
        del self.by_length[bisect_left(self.by_length, text)]


class Scheduler:
    """A queue per variant over shared slots; every plan serves the oldest text of all.

    Work-conserving: `plan` answers whenever something waits, and never holds a text back to
    wait for company. Starvation-free: each plan contains the text that has waited longest.
    """

    def __init__(self, lanes: Mapping[VariantKey, Lane], slots: int) -> None:
        """`slots` is the number of plans that run at a time."""
        self._lanes = dict(lanes)
        self._slots = slots
        self._queues = {variant: _Queue() for variant in lanes}
        self._arrivals = 0
        self._waiting_s = 0.0
        self._running_s = 0.0
        self._running_texts = 0
        self._recent_s = 0.0
        self._recent_predicted_s = 0.0

    def add_lane(self, variant: VariantKey, lane: Lane) -> None:
        """Take texts for one more variant."""
        self._lanes[variant] = lane
        self._queues[variant] = _Queue()

    def remove_lane(self, variant: VariantKey) -> None:
        """Take no more texts for a variant that none waits for."""
        del self._lanes[variant], self._queues[variant]

    def waiting_texts(self, variant: VariantKey) -> int:
        """Number of texts in the variant's queue."""
        return len(self._queues[variant].by_arrival)

    def backlog_s(self) -> float:
        """Predicted seconds until a slot is free for a text that arrives now."""
        return max(0.0, self._waiting_s + self._running_s) / self._slots * self._pace()

    def predicted_s(self, variant: VariantKey, lengths: list[int]) -> float:
        """Predicted seconds from now until texts of these lengths would all be answered."""
        lane = self._lanes[variant]
        spread_s = sum(map(lane.share_s, lengths)) / self._slots
        return self.backlog_s() + max(spread_s, lane.seconds(1, max(lengths))) * self._pace()

    def _pace(self) -> float:
        """Real seconds to predicted ones, of late."""
        return self._recent_s / self._recent_predicted_s if self._recent_predicted_s else 1.0

    def add(self, variant: VariantKey, length: int, owner: Any) -> Waiting:
        """Put one text of `length` tokens (>= 1) at the end of the variant's queue."""
        text = Waiting(length, self._arrivals, variant, owner)
        self._arrivals += 1
        queue = self._queues[variant]
        queue.by_arrival[text.arrival] = text
        insort(queue.by_length, text)
        self._waiting_s += self._lanes[variant].share_s(length)
        return text

    def remove(self, text: Waiting) -> bool:
        """Take a text out of the queue; False when it is not there (any more)."""
        queue = self._queues[text.variant]
        if text.arrival not in queue.by_arrival:
            return False
        queue.remove(text)
        self._waiting_s -= self._lanes[text.variant].share_s(text.length)
        return True

    def plan(self) -> Plan | None:
        """Take the next batch out of the queue; None when nothing waits.

        The variant is the one whose first text is the oldest. Packed, it is run with the next
        oldest, up to the token budget and a fair share of what is outstanding. Padded, the batch
        grows around it, within the same limits, towards whichever neighbour in length gives the
        better predicted speed-up over running the texts one by one, and stops at the best size
        seen.
        """
        queues = [queue for queue in self._queues.values() if queue.by_arrival]
        if not queues:
            return None
        queue = min(queues, key=lambda queue: next(iter(queue.by_arrival)))
        oldest = next(iter(queue.by_arrival.values()))
        lane = self._lanes[oldest.variant]
        outstanding = self._running_texts + sum(len(q.by_arrival) for q in queues)
        share = -(-outstanding // self._slots)
        if lane.packed:
            texts = _oldest(queue.by_arrival.values(), lane, share)
        else:
            texts = _grow(queue.by_length, oldest, lane, share)
        for text in texts:
            self.remove(text)
        layout = lay_out([text.length for text in texts], packed=lane.packed)
        predicted_s = lane.seconds(layout.rows, layout.tokens)
        plan = Plan(oldest.variant, texts, predicted_s, layout.cells)
        self._running_s += plan.predicted_s
        self._running_texts += len(texts)
        return plan

    def finished(self, plan: Plan, seconds: float) -> None:
        """Tell that a plan's slot is free again, and how long the plan really took.

        Predictions follow what is measured: warm-up does not know who else will use the cores.
        """
        self._recent_s = _RECENT * self._recent_s + seconds
        self._recent_predicted_s = _RECENT * self._recent_predicted_s + plan.predicted_s
        self._running_s -= plan.predicted_s
        self._running_texts -= len(plan.texts)


def _oldest(by_arrival: Iterable[Waiting], lane: Lane, most_texts: int) -> list[Waiting]:
    """The texts that have waited longest, at least one."""
    texts: list[Waiting] = []
    tokens = 0
    for text in islice(by_arrival, most_texts):
        tokens += text.length
        if texts and tokens > lane.max_batch_tokens:
            break
        texts.append(text)
    return texts


def _grow(by_length: list[Waiting], oldest: Waiting, lane: Lane, most_texts: int) -> list[Waiting]:
    """The best run of neighbours in length that contains `oldest`, shortest first."""
    start = bisect_left(by_length, oldest)
    stop = start + 1
    alone_s = lane.seconds(1, oldest.length)
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
