"""Start-time fair queueing: which queued texts run next. Pure: no clock, no asyncio, no numpy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serving.batching.batch_choice import LaneQueue, longest_s, take
from serving.batching.pace import Pace
from serving.batching.queue import ONLY_FLOW, Backlog, Flow, FlowState, QueuedText, start_s
from serving.bundles.bundle import VariantKey
from serving.inference.cost_model import Lane


@dataclass(slots=True)
class Plan:
    """A batch to run now: at least one text, all of one variant."""

    variant: VariantKey
    texts: list[QueuedText]
    predicted_s: float
    cells: int
    """Tokens that the engine computes, padding included."""
    larger: bool = False
    """Whether it is of medium or large requests."""
    beside: bool = False
    """Whether it has started beside as many batches as there are slots, and so slows them down."""


class Scheduler:
    """A queue per variant over shared slots; every plan serves the text that is next in order.

    Texts are scheduled by start-time fair queueing (SFQ; Goyal, Vin and Cheng 1996): a text's start
    tag is the finish tag of its flow's previous text, or the virtual time if the flow was idle, and
    the lowest start tag is next. So each flow gets slot time in proportion to its weight while
    others are queued, and all of it while none is; within a flow the oldest text is first. A
    caller's small, medium and large requests are flows of their own, so none waits until a much
    larger one has ended. Work-conserving: no text waits for others to come while a slot is free.
    Starvation-free: no weight is 0. Nothing but add_lane and remove_lane depends on the number of
    variants without texts.
    """

    def __init__(self, lanes: Mapping[VariantKey, Lane], slots: int) -> None:
        """Run `slots` plans at a time, and small requests beside larger ones (see `startable`)."""
        self.texts = 0
        """Number of queued texts, of all variants."""
        self.larger_texts = 0
        """Those of medium and large requests."""
        self._slots = slots
        self._queues = {variant: LaneQueue(lane) for variant, lane in lanes.items()}
        self._filled: dict[VariantKey, LaneQueue] = {}
        """The queues that hold texts."""
        self._arrivals = 0
        self._virtual_time_s = 0.0
        """How far a flow of weight 1 that is never idle has been served."""
        self._flows: dict[Flow, FlowState] = {}
        """Flows with queued texts, or a finish tag beyond the virtual time."""
        self._running_s: tuple[list[float], list[float]] = ([], [])
        """Of small requests, and of larger ones."""
        self._running_texts = 0
        self._pace = Pace()

    def add_lane(self, variant: VariantKey, lane: Lane) -> None:
        """Accept texts of one more variant."""
        self._queues[variant] = LaneQueue(lane)

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
        small_s, larger_s = map(tuple, self._running_s)
        return Backlog(queued_s, small_s, self._slots, self._pace.ratio, larger_s)

    def wait_s(
        self, variant: VariantKey, flow: Flow, more_s: float = 0.0, *, ahead: bool = False
    ) -> float:
        """Predict the seconds until a flow's queue, and then `more_s` of slot time, has started.

        With `ahead`, the flow's own queue does not count.
        """
        preempts = not flow.size and self._queues[variant].lane.preempts
        small_s, larger_s = self._running_s
        if not self._filled and len(small_s) + (0 if preempts else len(larger_s)) < self._slots:
            return 0.0
        state = self._flows.get(flow)
        if state and len(self._flows) == 1 and preempts:  # a fifth of what follows costs
            before_s = 0.0 if ahead else state.queued_s
            return start_s(before_s, small_s, self._slots) * self._pace.ratio
        return self.backlog().wait_s(flow, more_s, ahead=ahead, preempts=preempts)

    def queue_wait_s(self, flow: Flow) -> float:
        """Predict how much longer than until the first slot is free a flow's next text waits."""
        return self.backlog().queue_wait_s(flow) if self._filled else 0.0

    def work_of(
        self, variant: VariantKey, lengths: Sequence[int], flow: Flow
    ) -> tuple[Flow, float, float]:
        """Return a request's flow by its size, its slot time, and its seconds on an idle server."""
        lane = self._queues[variant].lane
        longest = lengths[0]
        slot_s = lane.shares_s[longest]
        if len(lengths) > 1:
            longest, slot_s = max(lengths), sum(map(lane.shares_s.__getitem__, lengths))
            if (tokens := sum(lengths)) > lane.max_batch_tokens:
                flow = flow.sized(len(lengths), tokens, lane.max_batch_tokens)
        alone_s, equal_s = lane.alone_s[longest], slot_s / self._slots
        least_s = alone_s if alone_s > equal_s else equal_s  # noqa: FURB136  no call
        return flow, slot_s, least_s * self._pace.ratio

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
            state = self._flows[flow] = FlowState(flow.weight)
        weight = state.weight
        if flow.size:
            weight /= sum(1 for each in flow.all_sizes() if each == flow or self._waits(each))
        virtual_s, finish_s = self._virtual_time_s, state.finish_tag_s
        next_s = virtual_s if virtual_s > finish_s else finish_s  # noqa: FURB136  no call
        again = start_tag_s is not None
        own_s = next_s if start_tag_s is None else start_tag_s
        if flow.size:
            own_s = max(virtual_s, own_s)
        for text in texts:
            share_s = queue.lane.shares_s[text.length]
            text.order = (min(next_s, own_s) if again else next_s, self._arrivals)
            text.variant, text.flow, text.share_s, text.queued = variant, flow, share_s, True
            self._arrivals += 1
            next_s += share_s / weight
            if flow.size or not again:
                own_s += share_s / weight
            state.queued_s += share_s
        state.finish_tag_s = next_s
        state.texts += len(texts)
        self.texts += len(texts)
        if flow.size:
            self.larger_texts += len(texts)
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
            if text.flow.size:
                self.larger_texts -= 1
            # Nothing queued is exactly nothing, whatever was rounded.
            state.queued_s = state.queued_s - text.share_s if state.texts else 0.0
        if not self._queues[variant].texts:
            del self._filled[variant]

    def plan(self) -> Plan | None:
        """Take the batch that is next in order out of the queue; None if no text is queued."""
        if not self._filled:
            return None
        queue = self._next_queue()
        return self._plan(queue, queue.first())

    def startable(self) -> bool | None:
        """Return whether the plan that may start now is of larger requests; None if none may.

        One of small requests may while fewer of them than slots run, whatever else does, if its
        lane preempts; any other while a slot is free.
        """
        found = self._startable()
        return None if found is None else found[1].flow.size > 0

    def next_plan(self, *, larger: bool) -> Plan | None:
        """Take the batch that may start now; None without one, or if it is of the other kind."""
        found = self._startable()
        if found is None or (found[1].flow.size > 0) is not larger:
            return None
        return self._plan(*found)

    def _plan(self, queue: LaneQueue, first: QueuedText) -> Plan:
        """Take the batch that begins with this text out of the queue.

        It has at most a fair share of the outstanding texts.
        """
        in_order = first is self._next_queue().first()
        share = -(-(self._running_texts + self.texts) // self._slots)
        texts, rows, tokens = take(queue, first, share)
        self._taken(texts, first.variant)
        self._advance(first.order[0] if in_order else self._virtual_time_s)
        larger, beside = first.flow.size > 0, sum(map(len, self._running_s)) >= self._slots
        predicted_s = queue.lane.seconds(rows, tokens)
        plan = Plan(first.variant, texts, predicted_s, rows * tokens, larger, beside)
        self._running_s[larger].append(predicted_s)
        self._running_texts += len(texts)
        return plan

    def _startable(self) -> tuple[LaneQueue, QueuedText] | None:
        """Find the text that the next plan begins with, if that may start now.

        It is the next in order. While that has to wait for a slot, the next that has not goes
        ahead, by at most the time of one batch of larger requests.
        """
        if not self._filled:
            return None
        queue = self._next_queue()
        first = queue.first()
        small, larger = map(len, self._running_s)
        preempts = not first.flow.size and queue.lane.preempts
        if small + (0 if preempts else larger) < self._slots:
            return queue, first
        if small == self._slots or self.texts == self.larger_texts:
            return None
        preempting = [each for each in self._filled.values() if each.lane.preempts]
        ahead = [(text, each) for each in preempting if (text := each.first_small())]
        if not ahead:
            return None
        text, its_queue = min(ahead, key=lambda each: each[0].order)
        lead_s = text.order[0] - first.order[0]
        return (its_queue, text) if lead_s <= longest_s(first, queue.lane) else None

    def _next_queue(self) -> LaneQueue:
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
        """Free the slot of a plan that took this many seconds; predictions follow that pace."""
        self._pace.count(plan.predicted_s, seconds, beside=plan.beside)
        self._running_s[plan.larger].remove(plan.predicted_s)
        self._running_texts -= len(plan.texts)
