"""Start-time fair queueing: which queued texts run next. Pure: no clock, no asyncio, no numpy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf

from serving.batching.batch_choice import candidates, first_in_order, grow
from serving.batching.queue import ONLY_FLOW, Backlog, Flow, Queue, QueuedText, start_s
from serving.bundles.bundle import VariantKey
from serving.inference.cost_model import Lane
from serving.inference.packing import lay_out

# Exponential decay of the measured pace: about the last twenty plans count.
_RECENT = 0.95
# Texts of small requests wait for a slot that runs a batch of a large one. Longer batches would
# run it at most a few percent faster.
_LARGE_BATCH_S = 0.02
# Where one text alone takes about as long, as on a GPU, a batch of them takes hardly longer.
_LARGE_BATCH_TEXTS = 2


@dataclass(slots=True)
class Plan:
    """A batch to run now: at least one text, all of one variant."""

    variant: VariantKey
    texts: list[QueuedText]
    predicted_s: float
    cells: int
    """Tokens that the engine computes, padding included."""


class _LaneQueue(Queue):
    """A variant's queue, and its lane."""

    __slots__ = ("lane",)

    def __init__(self, lane: Lane) -> None:
        super().__init__()
        self.lane = lane


@dataclass(slots=True)
class _FlowState:
    """A flow's weight, what it has queued, and the finish tag of its last text."""

    weight: float
    texts: int = 0
    queued_s: float = 0.0
    finish_tag_s: float = 0.0


class Scheduler:
    """A queue per variant over shared slots; every plan serves the text that is next in order.

    Texts are scheduled by start-time fair queueing (SFQ; Goyal, Vin and Cheng 1996): a text's start
    tag is the finish tag of its flow's previous text, or the virtual time if the flow was idle, and
    the lowest start tag is next. So each flow gets slot time in proportion to its weight while
    others are queued, and all of it while none is; within a flow the oldest text is first. A
    caller's small, medium and large requests are flows of their own, so none waits until a much
    larger one has ended. Work-conserving: `plan` never holds a text back to wait for others.
    Starvation-free: no weight is 0. Nothing but add_lane and remove_lane depends on the number of
    variants without texts.
    """

    def __init__(self, lanes: Mapping[VariantKey, Lane], slots: int) -> None:
        """`slots` is the number of plans that run at a time."""
        self.texts = 0
        """Number of queued texts, of all variants."""
        self._slots = slots
        self._queues = {variant: _LaneQueue(lane) for variant, lane in lanes.items()}
        self._filled: dict[VariantKey, _LaneQueue] = {}
        """The queues that hold texts."""
        self._arrivals = 0
        self._virtual_time_s = 0.0
        """How far a flow of weight 1 that is never idle has been served."""
        self._flows: dict[Flow, _FlowState] = {}
        """Flows with queued texts, or a finish tag beyond the virtual time."""
        self._running_s: list[float] = []
        self._running_texts = 0
        self._recent_s = 0.0
        self._recent_predicted_s = 0.0
        self._pace = 1.0
        """Recent ratio of measured to predicted seconds."""

    def add_lane(self, variant: VariantKey, lane: Lane) -> None:
        """Accept texts of one more variant."""
        self._queues[variant] = _LaneQueue(lane)

    def remove_lane(self, variant: VariantKey) -> None:
        """Accept no more texts of a variant that has none queued."""
        del self._queues[variant]

    def queued_texts(self, variant: VariantKey, flow: Flow | None = None) -> int:
        """Count the queued texts of a variant, of all flows or of one and its smaller requests."""
        queue = self._queues[variant]
        if flow is None:
            return queue.texts
        if not flow.size:
            return len(queue.by_flow.get(flow, ()))
        return sum(len(queue.by_flow.get(each, ())) for each in flow.all_sizes()[: flow.size + 1])

    def backlog(self) -> Backlog:
        """Sum up the outstanding work; safe from any thread."""
        flows = list(self._flows.items())
        queued_s = {flow: state.queued_s for flow, state in flows if state.texts}
        return Backlog(queued_s, tuple(self._running_s), self._slots, self._pace)

    def wait_s(self, flow: Flow, more_s: float = 0.0, *, ahead: bool = False) -> float:
        """Predict the seconds until a flow's queue, and then `more_s` of slot time, has started.

        With `ahead`, the flow's own queue does not count.
        """
        if not self._filled and len(self._running_s) < self._slots:
            return 0.0
        state = self._flows.get(flow)
        if state and len(self._flows) == 1:  # a fifth of the cost of what follows
            before_s = 0.0 if ahead else state.queued_s
            return start_s(before_s, self._running_s, self._slots) * self._pace
        return self.backlog().wait_s(flow, more_s, ahead=ahead)

    def queue_wait_s(self, flow: Flow) -> float:
        """Predict how much longer than until the first slot is free a flow's next text waits."""
        return self.backlog().queue_wait_s(flow) if self._filled else 0.0

    def work_of(
        self, variant: VariantKey, lengths: Sequence[int], flow: Flow
    ) -> tuple[Flow, float, float]:
        """Return a request's flow by its size, its slot time, and its seconds on an idle server."""
        lane = self._queues[variant].lane
        slot_s = sum(map(lane.shares_s.__getitem__, lengths))
        if len(lengths) > 1 and (tokens := sum(lengths)) > lane.max_batch_tokens:
            flow = flow.sized(len(lengths), tokens, lane.max_batch_tokens)
        return flow, slot_s, max(slot_s / self._slots, lane.alone_s[max(lengths)]) * self._pace

    def add(
        self,
        variant: VariantKey,
        texts: Sequence[QueuedText],
        flow: Flow = ONLY_FLOW,
        start_tag_s: float | None = None,
    ) -> None:
        """Queue texts of at least one token each, in order, at the end of their flow.

        Texts that were queued for another variant before keep that `start_tag_s`; those of a large
        request start again at the virtual time, since so many would hold up everybody.
        """
        queue = self._queues[variant]
        state = self._flows.get(flow)
        if state is None:
            state = self._flows[flow] = _FlowState(flow.weight)
        weight = state.weight
        if flow.size:
            weight /= sum(1 for each in flow.all_sizes() if each == flow or self._waits(each))
        next_s = max(self._virtual_time_s, state.finish_tag_s)
        again = start_tag_s is not None
        own_s = next_s if start_tag_s is None else start_tag_s
        if flow.size:
            own_s = max(self._virtual_time_s, own_s)
        for text in texts:
            share_s = queue.lane.shares_s[text.length]
            text.order = (min(next_s, own_s), self._arrivals)
            text.variant, text.flow, text.share_s, text.queued = variant, flow, share_s, True
            self._arrivals += 1
            next_s += share_s / weight
            if flow.size or not again:
                own_s += share_s / weight
            state.queued_s += share_s
        state.finish_tag_s = next_s
        state.texts += len(texts)
        self.texts += len(texts)
        queue.add(texts, flow)
        self._filled[variant] = queue

    def _waits(self, flow: Flow) -> bool:
        state = self._flows.get(flow)
        return state is not None and state.texts > 0

    def expedite(self, text: QueuedText, flow: Flow) -> None:
        """Move a queued text to `flow`, which wants it too, if it starts sooner there."""
        if flow == text.flow or not text.queued:
            return
        state = self._flows.get(flow)
        next_s = max(self._virtual_time_s, state.finish_tag_s if state else 0.0)
        if next_s < text.order[0]:
            self.remove(text)
            self.add(text.variant, [text], flow)

    def remove(self, text: QueuedText) -> bool:
        """Remove a text from the queue; False if it is no longer there."""
        if not text.queued:
            return False
        self._queues[text.variant].remove(text)
        self._taken([text], text.variant)
        return True

    def _taken(self, texts: Sequence[QueuedText], variant: VariantKey) -> None:
        """Note that texts have left a variant's queue."""
        self.texts -= len(texts)
        for text in texts:
            text.queued = False
            state = self._flows[text.flow]
            state.texts -= 1
            # Nothing queued is exactly nothing, whatever was rounded.
            state.queued_s = state.queued_s - text.share_s if state.texts else 0.0
        if not self._queues[variant].texts:
            del self._filled[variant]

    def plan(self) -> Plan | None:
        """Take the next batch out of the queue; None if no text is queued.

        The variant is that of the text that is next in order. A packed batch takes the texts after
        it in order, up to the token budget and a fair share of the outstanding texts. A padded one
        grows from it, within the same limits, towards the neighbour in length with the better
        predicted speed-up over running the texts one by one, and ends at the best size seen; its
        neighbours are among the texts that are next in order, so that none waits much longer. No
        batch takes texts of requests larger than that of its first, and one that starts with a text
        of a large request is short, so that small ones neither run nor wait long with large ones.
        """
        if not self._filled:
            return None
        queue = self._next_queue()
        first = queue.first()
        lane = queue.lane
        share = -(-(self._running_texts + self.texts) // self._slots)
        size = first.flow.size
        alone_s = _LARGE_BATCH_TEXTS * lane.alone_s[first.length]
        most_s = max(_LARGE_BATCH_S, alone_s) if size else inf
        if lane.packed:
            texts = first_in_order(queue.in_order(size), lane, share, most_s)
            queue.remove_first(texts)
            layout = lay_out(tuple([text.length for text in texts]), packed=True)
            rows, tokens = layout.rows, layout.tokens
        else:
            oldest = list(islice(queue.in_order(size), candidates(queue.texts)))
            texts = grow(oldest, lane, share, most_s)
            rows, tokens = len(texts), texts[-1].length
            for text in texts:
                queue.remove(text)
        self._taken(texts, first.variant)
        self._advance(first.order[0])
        plan = Plan(first.variant, texts, lane.seconds(rows, tokens), rows * tokens)
        self._running_s.append(plan.predicted_s)
        self._running_texts += len(texts)
        return plan

    def _next_queue(self) -> _LaneQueue:
        if len(self._filled) == 1:
            (only,) = self._filled.values()
            return only
        return min(self._filled.values(), key=lambda queue: queue.first().order)

    def _advance(self, start_tag_s: float) -> None:
        """Advance virtual time to the started text; forget the flows that it has overtaken.

        With no text queued, every flow starts afresh.
        """
        self._virtual_time_s = max(self._virtual_time_s, start_tag_s)
        if not self._filled:
            self._flows.clear()
            return
        for flow, state in list(self._flows.items()):
            if not state.texts and state.finish_tag_s <= self._virtual_time_s:
                del self._flows[flow]

    def finished(self, plan: Plan, seconds: float) -> None:
        """Free the slot of a plan that took this many seconds.

        Predictions follow the measured pace: warm-up cannot know what else will use the cores.
        """
        self._recent_s = _RECENT * self._recent_s + seconds
        self._recent_predicted_s = _RECENT * self._recent_predicted_s + plan.predicted_s
        if self._recent_predicted_s:
            self._pace = self._recent_s / self._recent_predicted_s
        self._running_s.remove(plan.predicted_s)
        self._running_texts -= len(plan.texts)
