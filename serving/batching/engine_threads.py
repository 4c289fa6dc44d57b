"""Engine threads: each takes the scheduler's next plan, runs it and hands the outcome over."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock, Thread

from serving.batching.coalescing import PendingText
from serving.batching.queue import Clock
from serving.batching.scheduler import Plan, Scheduler
from serving.bundles.bundle import VariantKey
from serving.errors import EngineFailed, own_words
from serving.inference.cpu import yield_cores
from serving.inference.engine import Engine, answers_of
from serving.logs import LOGGER

# A quarter of a core that another thread wants too. 10 did not help small requests more, and a
# thread that holds the GIL or the lock must get a core soon.
_NICE = 5

Outcome = list[list[float] | EngineFailed] | Exception
"""The logits or the error of each text, or the error of them all."""


@dataclass(eq=False, slots=True)
class Run:
    """A plan that an engine thread is running."""

    plan: Plan
    started_s: float


class EngineThreads:
    """`slots` threads for small requests, and as many for larger ones, with a lower priority.

    A thread takes its next plan itself, so no slot waits for the loop.

    `lock` guards the scheduler, which the threads share with the loop that this is made on.
    `on_finished` is called on the loop with each run, its outcome, and when it ended; `on_died`
    when a thread has ended because of a bug.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        engines: Mapping[VariantKey, Engine],
        lock: Lock,
        *,
        slots: int,
        clock: Clock,
        on_finished: Callable[[Run, Outcome, float], None],
        on_died: Callable[[], None],
    ) -> None:
        self.runs: set[Run] = set()
        """Read and changed under the lock."""
        self._scheduler = scheduler
        self._engines = engines
        self._lock = lock
        self._slots = slots
        self._clock = clock
        self._on_finished = on_finished
        self._on_died = on_died
        self._loop = asyncio.get_running_loop()
        self._waking = False
        # Of small requests and of larger ones.
        self._idle = [0, 0]
        self._wakes: tuple[SimpleQueue[bool], SimpleQueue[bool]] = (SimpleQueue(), SimpleQueue())
        self._threads = [
            Thread(target=self._work, args=[larger], name=f"{name}-{slot}", daemon=True)
            for larger, name in ((False, "engine"), (True, "engine-larger"))
            for slot in range(slots)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the threads; a batch that is still running ends by itself."""
        for wakes in self._wakes:
            for _ in range(self._slots):
                wakes.put(False)

    def wake(self) -> None:
        """Let idle threads run what is queued at the end of this iteration of the loop.

        So texts that arrived together are batched together.
        """
        larger, texts = self._scheduler.larger_texts, self._scheduler.texts
        idle, larger_idle = self._idle
        if not self._waking and ((idle and texts > larger) or (larger_idle and larger)):
            self._waking = True
            self._loop.call_soon(self._wake)

    def _wake(self) -> None:
        self._waking = False
        with self._lock:
            larger_texts = self._scheduler.larger_texts
            texts = self._scheduler.texts - larger_texts, larger_texts
            for larger in (False, True):
                threads = min(self._idle[larger], texts[larger])
                self._idle[larger] -= threads
                for _ in range(threads):
                    self._wakes[larger].put(True)

    def _work(self, larger: bool) -> None:
        try:
            if larger:
                yield_cores(_NICE)
            self._run_plans(larger=larger)
        except Exception:  # noqa: BLE001  told, and logged
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._on_died)
            LOGGER.exception("bug")

    def _run_plans(self, *, larger: bool) -> None:
        while True:
            run = self._next(larger=larger)
            if run is None:
                if not self._wakes[larger].get():
                    return
                continue
            texts: list[PendingText] = run.plan.texts  # type: ignore[assignment]
            outcome: Outcome
            try:
                outcome = answers_of(self._engines[run.plan.variant], [text.item for text in texts])
            except BaseException as error:  # noqa: BLE001  whatever is raised fails the batch
                outcome = EngineFailed(own_words(error))
            ended_s = self._clock()
            with self._lock:
                self._scheduler.finished(run.plan, ended_s - run.started_s)
                self.runs.discard(run)
            with suppress(RuntimeError):  # the loop has ended: no request waits any more
                self._loop.call_soon_threadsafe(self._on_finished, run, outcome, ended_s)

    def _next(self, *, larger: bool) -> Run | None:
        """Start the next plan; None if none may start here, and then this thread counts as idle."""
        run = None
        with self._lock:
            plan = self._scheduler.next_plan(larger=larger)
            if plan is None:
                self._idle[larger] += 1
            else:
                run = Run(plan, self._clock())
                self.runs.add(run)
            # What may start now may be for a thread of the other kind.
            startable = self._scheduler.startable()
            if startable is not None and self._idle[startable]:
                self._idle[startable] -= 1
                self._wakes[startable].put(True)
        return run
