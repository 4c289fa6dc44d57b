"""Runs the scheduler's plans on the engines and answers each waiter.

It does not know what the logits mean, nor which texts go next: that is scheduler.py.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock, Thread

from serving.batching.admission import missed
from serving.batching.coalescing import Answered, Group, Sharing, Text
from serving.batching.queue import Clock, Terms, Waiting
from serving.batching.scheduler import Plan, Scheduler
from serving.bundles.bundle import VariantKey
from serving.errors import EngineFailed, Overloaded, ServedError
from serving.inference.cost_model import Lane
from serving.inference.engine import Engine, answers_of
from serving.inference.inputs import Item

_WATCHES_PER_TIMEOUT = 4
_BUSY_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What one batch was: recorded once a batch, whoever the texts belonged to."""

    variant: VariantKey
    texts: int
    tokens: int
    padding_tokens: int
    engine_s: float


@dataclass(frozen=True, eq=False, slots=True)
class _Run:
    """A plan in an engine thread."""

    plan: Plan
    started_s: float


class Batcher:
    """One queue and `slots` engine threads for all variants of the process.

    Lives on one event loop: every public method is called there. An engine thread takes its next
    plan itself, so that no slot waits for the loop. `alive` turns false when an engine did not
    come back within `engine_timeout_s`. `requests_in_flight` wait or run. `on_reuse` hears of a
    request's texts how many were known, and how many run for another anyway.
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
        self._sharing = Sharing(cache_texts)
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
        """End the threads; a run that is still going on is left to end by itself."""
        self._watchdog.cancel()
        for _ in self._threads:
            self._wakes.put(False)

    def add(self, variant: VariantKey, engine: Engine, lane: Lane) -> None:
        """Run one more variant."""
        with self._lock:
            self._engines[variant] = engine
            self._scheduler.add_lane(variant, lane)

    async def remove(self, variant: VariantKey) -> None:
        """Let go of a variant that nobody asks any more, once its last batch is back or dead."""
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
            return runs or self._scheduler.waiting_texts(variant) > 0

    async def submit(
        self,
        variant: VariantKey,
        items: Sequence[Item],
        terms: Terms,
    ) -> list[Answered]:
        """Answer all items (>= 1), in order; all of them join the queue or none does.

        Raises Overloaded when the queue has no room or is too long for the deadline,
        DeadlineMissed when the deadline would be missed with nobody before it or has passed in
        the queue, EngineFailed when a batch with one of the texts fails.
        """
        now_s = self._clock()
        group = Group(self._loop.create_future(), now_s, [None] * len(items))
        fresh = self._sharing.collect(group, variant, items, reuse=terms.reuse)
        with self._lock:
            if fresh:
                self._admit(variant, [text.item.length for text in fresh], terms, now_s)
            for text in group.wanted:
                text.waiting = self._place(text, variant, terms)
        if len(fresh) < len(items):
            self._on_reuse(variant, group.known, len(items) - len(fresh) - group.known)
        if not group.wanted:
            return group.complete()
        self._sharing.join(group)
        if fresh and self._idle_threads and not self._waking:
            # At the end of this turn of the loop, so that what arrived together joins.
            self._waking = True
            self._loop.call_soon(self._wake)
        timer = self._loop.call_later(terms.deadline_s - now_s, self._expire, group)
        self.requests_in_flight += 1
        try:
            return await group.future
        finally:
            self.requests_in_flight -= 1
            timer.cancel()
            self._withdraw(group)

    def _place(self, text: Text, variant: VariantKey, terms: Terms) -> Waiting:
        if text.waiting:
            return self._scheduler.hasten(text.waiting, terms.flow)
        return self._scheduler.add(variant, text.item.length, text, terms.flow, terms.since_s)

    def _admit(self, variant: VariantKey, lengths: list[int], terms: Terms, now_s: float) -> None:
        waiting = self._scheduler.waiting_texts(variant, terms.flow)
        if waiting + len(lengths) > self._max_queue_texts:
            raise Overloaded(
                f"{waiting} texts wait for {'/'.join(variant[:2])}: see Retry-After",
                field="texts",
                limit=self._max_queue_texts,
                value=waiting + len(lengths),
                retry_after_s=1 + int(self._scheduler.backlog().total_s),
            )
        left_s = terms.deadline_s - now_s
        work_s = self._scheduler.work_s(variant, lengths)
        if work_s > left_s:
            raise missed(left_s, work_s)
        # What has waited in another queue goes before all that came after it.
        waited = terms.since_s is not None
        wait_s = 0.0 if waited else self._scheduler.wait_s(variant, lengths, terms.flow)
        if (predicted_s := wait_s + work_s) > left_s:
            raise Overloaded(
                f"the answer would take {predicted_s * 1e3:.0f} ms because of the requests before "
                "it: see Retry-After or allow more time",
                field="deadline_ms",
                limit=round(left_s * 1e3),
                value=round(predicted_s * 1e3),
                retry_after_s=1 + int(predicted_s - left_s),
            )

    def _wake(self) -> None:
        self._waking = False
        with self._lock:
            idle, self._idle_threads = self._idle_threads, 0
        for _ in range(idle):
            self._wakes.put(True)

    def _work(self) -> None:
        """An engine thread: run plan after plan, hand each outcome to the loop, until closed."""
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
            with suppress(RuntimeError):  # the loop has ended: nobody waits any more
                self._loop.call_soon_threadsafe(self._finish, run, outcome, ended_s)

    def _next(self) -> _Run | None:
        """The next plan, begun; None when nothing waits, and then this thread counts as idle."""
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
        for waiting, row in zip(plan.texts, outcome, strict=True):
            text: Text = waiting.owner
            if isinstance(row, EngineFailed):
                self._sharing.forget(text)
                text.fail(row)
                continue
            self._sharing.finish(text, row)
            for group in text.groups:
                queue_s = max(0.0, run.started_s - group.joined_s)
                group.answer(text, Answered(row, queue_s, engine_s, waiting.turn[0]))

    def _fail(self, plan: Plan, error: ServedError) -> None:
        for waiting in plan.texts:
            self._sharing.forget(waiting.owner)
            waiting.owner.fail(error)

    def _watch(self) -> None:
        """Fail what an engine does not come back from; look again later."""
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

    def _expire(self, group: Group) -> None:
        late_s = self._clock() - group.joined_s
        with self._lock:
            waits = any(t.waiting and self._scheduler.waits(t.waiting) for t in group.wanted)
        if waits and not group.future.done():
            group.future.set_exception(missed(late_s, late_s + self._scheduler.backlog().total_s))

    def _withdraw(self, group: Group) -> None:
        """Take what nobody else wants out of the queue."""
        with self._lock:
            for text in self._sharing.leave(group):
                if text.waiting and self._scheduler.remove(text.waiting):
                    self._sharing.forget(text)
