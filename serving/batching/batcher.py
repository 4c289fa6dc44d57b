"""Runs the scheduler's plans on engine threads and answers each request."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock, Thread

from serving.batching.admission import check_texts, missed
from serving.batching.coalescing import Coalescer, PendingRequest, PendingText
from serving.batching.interface import InferenceResult
from serving.batching.queue import Clock, QueuedText, Terms
from serving.batching.scheduler import Plan, Scheduler
from serving.bundles.bundle import VariantKey
from serving.errors import EngineFailed, ServedError
from serving.inference.cost_model import Lane
from serving.inference.engine import Engine, answers_of
from serving.inference.inputs import Item

_WATCHES_PER_TIMEOUT = 4
_BUSY_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What one batch was; recorded once per batch, whichever requests its texts belong to."""

    variant: VariantKey
    texts: int
    tokens: int
    padding_tokens: int
    engine_s: float


@dataclass(frozen=True, eq=False, slots=True)
class _Run:
    """A plan that an engine thread is running."""

    plan: Plan
    started_s: float


class Batcher:
    """One queue and `slots` engine threads for all variants of the process.

    Lives on one event loop: call every public method there. An engine thread takes its next plan
    itself, so no slot waits for the loop. `alive` becomes false when an engine does not return
    within `engine_timeout_s`. `requests_in_flight` are queued or running. `on_reuse` receives for
    each request how many of its texts were cached, and how many ran for another request anyway.
    """

    def __init__(
        self,
        engines: Mapping[VariantKey, Engine],
        scheduler: Scheduler,
        *,
        slots: int,
        max_queue_texts: int,
        engine_timeout_s: float,
        clock: Clock,
        on_batch: Callable[[BatchReport], None],
        on_reuse: Callable[[VariantKey, int, int], None] = lambda *_: None,
        cache_texts: int = 0,
    ) -> None:
        self.alive = True
        self.requests_in_flight = 0
        self._engines = dict(engines)
        self._max_queue_texts = max_queue_texts
        self._engine_timeout_s = engine_timeout_s
        self._clock = clock
        self._on_batch = on_batch
        self._on_reuse = on_reuse
        self._coalescer = Coalescer(cache_texts)
        self._loop = asyncio.get_running_loop()
        self._waking = False
        # The engine threads share these with the loop, under the lock.
        self._lock = Lock()
        self._scheduler = scheduler
        self._idle_threads = 0
        self._runs: set[_Run] = set()
        self._wakes: SimpleQueue[bool] = SimpleQueue()
        self._threads = [
            Thread(target=self._work, name=f"engine-{slot}", daemon=True) for slot in range(slots)
        ]
        for thread in self._threads:
            thread.start()
        self._watch()

    def close(self) -> None:
        """End the threads; a batch that is still running ends by itself."""
        self._watchdog.cancel()
        for _ in self._threads:
            self._wakes.put(False)

    def add(self, variant: VariantKey, engine: Engine, lane: Lane) -> None:
        """Start serving one more variant."""
        with self._lock:
            self._engines[variant] = engine
            self._scheduler.add_lane(variant, lane)

    async def remove(self, variant: VariantKey) -> None:
        """Release a variant without requests, once its last batch has ended or timed out."""
        for _ in range(round(self._engine_timeout_s / _BUSY_EVERY_S)):
            if not self._busy(variant):
                break
            await asyncio.sleep(_BUSY_EVERY_S)
        with self._lock:
            self._scheduler.remove_lane(variant)
            del self._engines[variant]

    def _busy(self, variant: VariantKey) -> bool:
        with self._lock:
            runs = any(run.plan.variant == variant for run in self._runs)
            return runs or self._scheduler.queued_texts(variant) > 0

    async def submit(
        self, variant: VariantKey, items: Sequence[Item], terms: Terms
    ) -> list[InferenceResult]:
        """See Submits."""
        now_s = self._clock()
        request = PendingRequest(self._loop.create_future(), now_s, [None] * len(items))
        fresh = self._coalescer.collect(request, variant, items, reuse=terms.reuse)
        with self._lock:
            if fresh:
                lengths = [text.item.length for text in fresh]
                check_texts(
                    self._scheduler,
                    variant,
                    lengths,
                    terms,
                    now_s,
                    max_queue_texts=self._max_queue_texts,
                )
            for text in request.missing:
                text.queued = self._place(text, variant, terms)
        if len(fresh) < len(items):
            cached = request.answered
            self._on_reuse(variant, cached, len(items) - len(fresh) - cached)
        if not request.missing:
            return request.complete()
        self._coalescer.join(request)
        if fresh and self._idle_threads and not self._waking:
            # At the end of this iteration of the loop, so that texts that arrived together are
            # batched together.
            self._waking = True
            self._loop.call_soon(self._wake)
        timer = self._loop.call_later(terms.deadline_s - now_s, self._expire, request)
        self.requests_in_flight += 1
        try:
            return await request.future
        finally:
            self.requests_in_flight -= 1
            timer.cancel()
            self._withdraw(request)

    def _place(self, text: PendingText, variant: VariantKey, terms: Terms) -> QueuedText:
        if text.queued:
            return self._scheduler.expedite(text.queued, terms.flow)
        return self._scheduler.add(variant, text.item.length, text, terms.flow, terms.start_tag_s)

    def _wake(self) -> None:
        self._waking = False
        with self._lock:
            idle, self._idle_threads = self._idle_threads, 0
        for _ in range(idle):
            self._wakes.put(True)

    def _work(self) -> None:
        """Run plans in an engine thread, and hand each outcome to the loop, until closed."""
        while True:
            run = self._next()
            if run is None:
                if not self._wakes.get():
                    return
                continue
            outcome: list[list[float] | EngineFailed] | Exception
            try:
                items = [text.owner.item for text in run.plan.texts]
                outcome = answers_of(self._engines[run.plan.variant], items)
            except Exception as error:  # noqa: BLE001  whatever an engine raises fails its batch
                outcome = error
            ended_s = self._clock()
            with self._lock:
                self._scheduler.finished(run.plan, ended_s - run.started_s)
                self._runs.discard(run)
            with suppress(RuntimeError):  # the loop has ended: no request waits any more
                self._loop.call_soon_threadsafe(self._finish, run, outcome, ended_s)

    def _next(self) -> _Run | None:
        """Start the next plan; None if no text is queued, and then this thread counts as idle."""
        with self._lock:
            plan = self._scheduler.plan()
            if plan is None:
                self._idle_threads += 1
                return None
            run = _Run(plan, self._clock())
            self._runs.add(run)
            return run

    def _finish(
        self, run: _Run, outcome: list[list[float] | EngineFailed] | Exception, ended_s: float
    ) -> None:
        plan = run.plan
        if isinstance(outcome, Exception):
            failed = outcome if isinstance(outcome, ServedError) else EngineFailed(f"{outcome!r}")
            self._fail(plan, failed)
            return
        engine_s = ended_s - run.started_s
        tokens = sum(text.length for text in plan.texts)
        padding_tokens = plan.cells - tokens
        self._on_batch(BatchReport(plan.variant, len(plan.texts), tokens, padding_tokens, engine_s))
        for queued, row in zip(plan.texts, outcome, strict=True):
            text: PendingText = queued.owner
            if isinstance(row, EngineFailed):
                self._coalescer.forget(text)
                text.fail(row)
                continue
            self._coalescer.finish(text, row)
            for request in text.requests:
                queue_s = max(0.0, run.started_s - request.submitted_s)
                request.answer(text, InferenceResult(row, queue_s, engine_s, queued.order[0]))

    def _fail(self, plan: Plan, error: ServedError) -> None:
        for queued in plan.texts:
            self._coalescer.forget(queued.owner)
            queued.owner.fail(error)

    def _watch(self) -> None:
        """Fail batches from which an engine does not return; look again later."""
        with self._lock:
            runs = list(self._runs)
        for run in runs:
            if self._clock() - run.started_s > self._engine_timeout_s:
                self.alive = False
                self._fail(
                    run.plan, EngineFailed(f"a batch ran for over {self._engine_timeout_s:g} s")
                )
        self._watchdog = self._loop.call_later(
            self._engine_timeout_s / _WATCHES_PER_TIMEOUT, self._watch
        )

    def _expire(self, request: PendingRequest) -> None:
        late_s = self._clock() - request.submitted_s
        with self._lock:
            queued = any(
                text.queued and self._scheduler.is_queued(text.queued) for text in request.missing
            )
        if queued and not request.future.done():
            predicted_s = late_s + self._scheduler.backlog().total_s
            request.future.set_exception(missed(late_s, predicted_s))

    def _withdraw(self, request: PendingRequest) -> None:
        """Remove from the queue what no other request needs."""
        with self._lock:
            for text in self._coalescer.leave(request):
                if text.queued and self._scheduler.remove(text.queued):
                    self._coalescer.forget(text)
