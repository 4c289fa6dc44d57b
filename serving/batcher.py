"""Runs the scheduler's plans on the engines and answers each waiter.

It does not know what the logits mean, nor which texts go next: that is scheduler.py.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread

from serving.engine import Engine
from serving.errors import DeadlineMissed, EngineFailed, Overloaded, ServedError
from serving.scheduler import Plan, Scheduler, VariantKey, Waiting
from serving.tokenizer import Encoding

Clock = Callable[[], float]
_Ran = tuple[list[list[float]], float]


@dataclass(frozen=True, slots=True)
class Answered:
    """Logits of one text, one a label, and the seconds spent getting them."""

    logits: list[float]
    queue_s: float
    engine_s: float


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What one batch was: recorded once a batch, whoever the texts belonged to."""

    variant: VariantKey
    texts: int
    tokens: int
    padding_tokens: int
    engine_s: float


@dataclass(eq=False, slots=True)
class _Group:
    """The texts of one request; they are answered together or fail together."""

    future: asyncio.Future[list[Answered]]
    joined_s: float
    answers: list[Answered | None]
    waiting: list[Waiting] = field(default_factory=list)
    unanswered: int = 0


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the answer of one waiting text belongs."""

    group: _Group
    index: int
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class _Started:
    """A plan on its way through an engine thread."""

    loop: asyncio.AbstractEventLoop
    plan: Plan
    at_s: float
    watchdog: asyncio.TimerHandle


class Batcher:
    """One queue and `slots` engine threads for all variants of the process.

    Lives on one event loop: every method is called there. `alive` turns false when an engine
    did not come back within `engine_timeout_s`.
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
    ) -> None:
        self.alive = True
        self._engines = engines
        self._scheduler = scheduler
        self._free_slots = slots
        self._max_queue_texts = max_queue_texts
        self._engine_timeout_s = engine_timeout_s
        self._clock = clock
        self._on_batch = on_batch
        self._dispatching = False
        self._started: SimpleQueue[_Started | None] = SimpleQueue()
        self._threads = [
            Thread(target=self._work, name=f"engine-{slot}", daemon=True) for slot in range(slots)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the threads; a run that is still going on is left to end by itself."""
        for _ in self._threads:
            self._started.put(None)

    async def submit(
        self, variant: VariantKey, encodings: Sequence[Encoding], deadline_s: float
    ) -> list[Answered]:
        """Answer all encodings (>= 1), in order; all of them join the queue or none does.

        `deadline_s` is on the batcher's clock. It is kept before the work, not after: a text
        whose batch has begun is answered even when the batch ends late.
        Raises Overloaded when the queue has no room, DeadlineMissed when the answer would come
        too late, EngineFailed when a batch with one of the texts fails.
        """
        self._admit(variant, encodings, deadline_s)
        loop = asyncio.get_running_loop()
        now_s = self._clock()
        group = _Group(loop.create_future(), now_s, [None] * len(encodings))
        group.unanswered = len(encodings)
        group.waiting = [
            self._scheduler.add(variant, encoding.length, _Place(group, index, encoding))
            for index, encoding in enumerate(encodings)
        ]
        self._wake(loop)
        timer = loop.call_later(deadline_s - now_s, self._expire, group)
        try:
            return await group.future
        finally:
            timer.cancel()
            self._withdraw(group)

    def _admit(self, variant: VariantKey, encodings: Sequence[Encoding], deadline_s: float) -> None:
        waiting = self._scheduler.waiting_texts(variant)
        if waiting + len(encodings) > self._max_queue_texts:
            raise Overloaded(
                f"{waiting} texts wait for {'/'.join(variant)}: see Retry-After",
                field="texts",
                limit=self._max_queue_texts,
                value=waiting + len(encodings),
                retry_after_s=1 + int(self._scheduler.backlog_s()),
            )
        lengths = [encoding.length for encoding in encodings]
        left_s = deadline_s - self._clock()
        predicted_s = self._scheduler.predicted_s(variant, lengths)
        if predicted_s > left_s:
            raise _missed(left_s, predicted_s)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Dispatch at the end of this turn of the loop, so that what arrived together joins."""
        if not self._dispatching:
            self._dispatching = True
            loop.call_soon(self._dispatch, loop)

    def _dispatch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._dispatching = False
        while self._free_slots and (plan := self._scheduler.plan()):
            self._free_slots -= 1
            started_s = self._clock()
            watchdog = loop.call_later(self._engine_timeout_s, self._give_up, plan)
            self._started.put(_Started(loop, plan, started_s, watchdog))

    def _work(self) -> None:
        """An engine thread: run what is started, hand each outcome to the loop."""
        while started := self._started.get():
            try:
                outcome: _Ran | Exception = self._run(started.plan)
            except Exception as error:  # noqa: BLE001  whatever an engine raises fails its batch
                outcome = error
            with suppress(RuntimeError):  # the loop has ended: nobody waits any more
                started.loop.call_soon_threadsafe(self._finish, started, outcome)

    def _run(self, plan: Plan) -> _Ran:
        """A row of logits a text, and the seconds they took."""
        batch = [text.owner.encoding.ids for text in plan.texts]
        started_s = self._clock()
        logits = self._engines[plan.variant].run(batch)
        if len(logits) != len(batch):
            raise EngineFailed(f"the engine answered {len(logits)} of {len(batch)} texts")
        return logits.tolist(), self._clock() - started_s

    def _finish(self, started: "_Started", outcome: _Ran | Exception) -> None:
        plan = started.plan
        started.watchdog.cancel()
        self._scheduler.finished(plan)
        self._free_slots += 1
        self._dispatch(started.loop)
        if isinstance(outcome, Exception):
            failed = outcome if isinstance(outcome, ServedError) else EngineFailed(f"{outcome!r}")
            self._fail(plan, failed)
            return
        logits, engine_s = outcome
        tokens = sum(text.length for text in plan.texts)
        padding_tokens = plan.length * len(plan.texts) - tokens
        self._on_batch(BatchReport(plan.variant, len(plan.texts), tokens, padding_tokens, engine_s))
        for text, row in zip(plan.texts, logits, strict=True):
            place: _Place = text.owner
            group = place.group
            group.answers[place.index] = Answered(row, started.at_s - group.joined_s, engine_s)
            group.unanswered -= 1
            if not group.unanswered and not group.future.done():
                group.future.set_result([answer for answer in group.answers if answer])

    def _fail(self, plan: Plan, error: ServedError) -> None:
        for group in {text.owner.group for text in plan.texts}:
            if not group.future.done():
                group.future.set_exception(error)

    def _give_up(self, plan: Plan) -> None:
        self.alive = False
        self._fail(plan, EngineFailed(f"a batch ran for over {self._engine_timeout_s:g} s"))

    def _expire(self, group: _Group) -> None:
        late_s = self._clock() - group.joined_s
        if self._withdraw(group) and not group.future.done():
            group.future.set_exception(_missed(late_s, late_s + self._scheduler.backlog_s()))

    def _withdraw(self, group: _Group) -> bool:
        """Take what still waits out of the queue; whether anything did."""
        return sum(self._scheduler.remove(text) for text in group.waiting) > 0


def _missed(left_s: float, predicted_s: float) -> DeadlineMissed:
    return DeadlineMissed(
        f"the answer would take {predicted_s * 1e3:.0f} ms: allow more time or send less at a time",
        field="deadline_ms",
        limit=round(left_s * 1e3),
        value=round(predicted_s * 1e3),
    )
