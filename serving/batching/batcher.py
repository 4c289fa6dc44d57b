"""Queues the texts of requests, and answers each request from what the engine threads return."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from threading import Lock
from typing import cast

from serving.batching.admission import check_texts, missed
from serving.batching.coalescing import Coalescer, PendingRequest, PendingText, Waiter
from serving.batching.deadlines import Deadlines
from serving.batching.engine_threads import EngineThreads, Outcome, Run
from serving.batching.interface import InferenceResult
from serving.batching.queue import Clock, Terms
from serving.batching.scheduler import Plan, Scheduler
from serving.batching.watchdog import Watchdog
from serving.bundles.bundle import VariantKey
from serving.errors import EngineFailed, ServedError
from serving.inference.cost_model import Lane
from serving.inference.engine import Engine
from serving.inference.inputs import Item
from serving.logs import LOGGER

_length = attrgetter("length")
_BUSY_EVERY_S = 0.05


@dataclass(slots=True)
class BatchReport:
    """What one batch was; recorded once per batch, whichever requests its texts belong to."""

    variant: VariantKey
    texts: int
    tokens: int
    padding_tokens: int
    engine_s: float


class _Results(asyncio.Future[list[InferenceResult]]):
    """The results of a request; it calls `on_cancel` when its waiter is cancelled."""

    on_cancel: Callable[[], None] | None = None

    def cancel(self, msg: object = None) -> bool:
        """See asyncio.Future."""
        cancelled = super().cancel(msg)
        if cancelled and self.on_cancel:
            self.on_cancel()
        return cancelled


class Batcher:
    """One queue, and the engine threads of `slots` slots, for all variants of the process.

    Lives on one event loop: call every public method there. `watchdog` tells whether every engine
    returns within `engine_timeout_s`. `requests_in_flight` are queued or running.
    `on_reuse` receives for each request how many of its texts were cached, and how many ran for
    another request anyway.
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
        self.requests_in_flight = 0
        self._engines = dict(engines)
        self._max_queue_texts = max_queue_texts
        self._engine_timeout_s = engine_timeout_s
        self._clock = clock
        self._on_batch = on_batch
        self._on_reuse = on_reuse
        self._coalescer = Coalescer(cache_texts)
        self._loop = asyncio.get_running_loop()
        self._deadlines = Deadlines(self._loop, self._expire)
        # The engine threads share the scheduler with the loop, under the lock.
        self._lock = Lock()
        self._scheduler = scheduler
        self._threads = EngineThreads(
            scheduler,
            self._engines,
            self._lock,
            slots=slots,
            clock=clock,
            on_finished=self._finish,
            on_died=self._die,
        )
        self.watchdog = Watchdog(self._running, engine_timeout_s, clock, self._fail_late)

    def close(self) -> None:
        """End the threads; a batch that is still running ends by itself."""
        self.watchdog.end()
        self._threads.close()

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
            if not self._scheduler.queued_texts(variant):
                self._scheduler.remove_lane(variant)
            del self._engines[variant]

    def _running(self) -> list[Run]:
        with self._lock:
            return list(self._threads.runs)

    def _busy(self, variant: VariantKey) -> bool:
        with self._lock:
            runs = any(run.plan.variant == variant for run in self._threads.runs)
            return runs or self._scheduler.queued_texts(variant) > 0

    def submit(
        self, variant: VariantKey, items: Sequence[Item], terms: Terms
    ) -> asyncio.Future[list[InferenceResult]]:
        """See Submits."""
        future = _Results(loop=self._loop)
        request = self.enqueue(variant, items, terms, future)
        future.on_cancel = partial(self.withdraw, request)
        return future

    def enqueue(
        self, variant: VariantKey, items: Sequence[Item], terms: Terms, waiter: Waiter
    ) -> PendingRequest:
        """Queue all items or none, as `submit` does; `waiter` gets the results or the error."""
        now_s = self._clock()
        request = PendingRequest(waiter, now_s)
        fresh = self._coalescer.collect(request, variant, items, terms)
        with self._lock:
            if fresh:
                lengths = list(map(_length, fresh))
                flow = check_texts(
                    self._scheduler,
                    variant,
                    lengths,
                    terms,
                    now_s,
                    max_queue_texts=self._max_queue_texts,
                )
                self._scheduler.add(variant, fresh, flow, terms.start_tag_s)
            if len(fresh) < len(request.texts):
                lengths = list(map(_length, request.texts))
                flow, _, _ = self._scheduler.work_of(variant, lengths, terms.flow)
                for text in request.texts:
                    self._scheduler.expedite(text, flow)
        if len(fresh) < len(items):
            shared = len(request.texts) - len(fresh)
            self._on_reuse(variant, len(items) - len(request.texts), shared)
        self.requests_in_flight += 1
        if not request.missing:
            self._complete(request)
            return request
        self._coalescer.join(request)
        self._threads.wake()
        request.expiring = self._deadlines.add(request, terms.deadline_s, now_s)
        return request

    def withdraw(self, request: PendingRequest) -> None:
        """End a request without an answer, and free what no other request needs."""
        if request.waiter is None:
            return
        request.waiter = None
        request.expiring.discard(request)
        self.requests_in_flight -= 1
        with self._lock:
            for text in self._coalescer.leave(request):
                if self._scheduler.remove(text):
                    self._coalescer.forget(text)
        # What waited behind the removed texts may start.
        self._threads.wake()

    def _fail(self, request: PendingRequest, error: ServedError) -> None:
        waiter = request.waiter
        self.withdraw(request)
        if waiter and not waiter.done():
            waiter.set_exception(error)

    def _complete(self, request: PendingRequest) -> None:
        waiter, request.waiter = request.waiter, None
        request.expiring.discard(request)
        self.requests_in_flight -= 1
        # No cycle of references is left for the garbage collector.
        request.texts.clear()
        if waiter and not waiter.done():
            # None is missing.
            waiter.set_result(request.results)  # type: ignore[arg-type]

    def _finish(self, run: Run, outcome: Outcome, ended_s: float) -> None:
        if not self.watchdog.alive:
            self.watchdog.recover(run, ended_s)
        try:
            if not isinstance(outcome, Exception):
                self._answer(run, outcome, ended_s)
                return
        except Exception as error:  # noqa: BLE001  every request needs an answer
            LOGGER.error("bug", exc_info=error)
            outcome = error
        failed = outcome if isinstance(outcome, ServedError) else EngineFailed(f"{outcome!r}")
        self._fail_plan(run.plan, failed)

    def _answer(self, run: Run, outcome: list[list[float] | EngineFailed], ended_s: float) -> None:
        plan = run.plan
        engine_s = ended_s - run.started_s
        tokens = 0
        for text in plan.texts:
            tokens += text.length
        texts: list[PendingText] = plan.texts  # type: ignore[assignment]
        for text, row in zip(texts, outcome, strict=True):
            if isinstance(row, EngineFailed):
                self._fail_text(text, row)
                continue
            if text.cache_key:
                self._coalescer.finish(text, row)
            for request, position in text.places:
                waited_s = run.started_s - request.submitted_s
                queue_s = waited_s if waited_s > 0.0 else 0.0  # noqa: FURB136  no call
                result = InferenceResult(row, queue_s, engine_s, text.order[0])
                request.results[position] = result
                request.missing -= 1
                if not request.missing:
                    self._complete(request)
        padding_tokens = plan.cells - tokens
        report = BatchReport(plan.variant, len(plan.texts), tokens, padding_tokens, engine_s)
        # Whoever waits for an answer goes on first.
        self._loop.call_soon(self._on_batch, report)

    def _fail_plan(self, plan: Plan, error: ServedError) -> None:
        for text in cast("list[PendingText]", plan.texts):
            self._fail_text(text, error)

    def _fail_text(self, text: PendingText, error: ServedError) -> None:
        self._coalescer.forget(text)
        for request, _ in list(text.places):
            self._fail(request, error)

    def _die(self) -> None:
        self.watchdog.die()

    def _fail_late(self, run: Run, error: EngineFailed) -> None:
        self._fail_plan(run.plan, error)

    def _expire(self, request: PendingRequest) -> None:
        with self._lock:
            queued = any(text.queued for text in request.texts)
        if queued:
            late_s = self._clock() - request.submitted_s
            self._fail(request, missed(late_s, late_s + self._scheduler.backlog().total_s))
