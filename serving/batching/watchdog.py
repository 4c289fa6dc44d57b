"""Watches the running batches: whether each engine returns, and comes back if it was late."""

import asyncio
from collections.abc import Callable

from serving.batching.engine_threads import Run
from serving.batching.queue import Clock
from serving.errors import EngineFailed
from serving.logs import log

_WATCHES_PER_TIMEOUT = 4
_SLOW_WATCHES = 2
# A late batch has as long again to come back.
_MOST_WATCHES = 2 * _WATCHES_PER_TIMEOUT


class Watchdog:
    """Fails the batches that run for longer than `timeout_s`. Lives on one event loop.

    `alive` is false while one of them has not come back, and once an engine thread has died.
    `trouble` says why, and `lost` whether to wait any longer is no use. Looks are counted, not
    seconds: while the process is paused, no engine is late.
    """

    def __init__(
        self,
        running: Callable[[], list[Run]],
        timeout_s: float,
        clock: Clock,
        on_late: Callable[[Run, EngineFailed], None],
    ) -> None:
        self.alive = True
        self.trouble = ""
        self.lost = False
        self._running = running
        self._timeout_s = timeout_s
        self._clock = clock
        self._on_late = on_late
        self._loop = asyncio.get_running_loop()
        self._seen: dict[Run, int] = {}
        """How often each running batch was looked at."""
        self._watch()

    def end(self) -> None:
        """Stop watching."""
        self._timer.cancel()

    def die(self) -> None:
        """Note that an engine thread has died."""
        self.alive, self.lost = False, True
        self.trouble = "an engine thread has died: see the log"

    def recover(self, run: Run, ended_s: float) -> None:
        """Note that a batch has come back: the last one that was late, if no other is."""
        self._seen.pop(run, None)
        late = any(seen > _WATCHES_PER_TIMEOUT for seen in self._seen.values())
        if not late and not self.lost:
            self.alive, self.trouble = True, ""
            log("an engine responds again", seconds=round(ended_s - run.started_s, 3))

    def _watch(self) -> None:
        self._timer = self._loop.call_later(self._timeout_s / _WATCHES_PER_TIMEOUT, self._watch)
        self._seen = {run: self._seen.get(run, 0) + 1 for run in self._running()}
        for run, seen in self._seen.items():
            if seen == _SLOW_WATCHES:
                self._tell_slow(run)
            elif seen > _WATCHES_PER_TIMEOUT:
                self._fail(run)
            if seen > _MOST_WATCHES and not self.lost:
                self._lose()

    def _tell_slow(self, run: Run) -> None:
        model, variant, version = run.plan.variant
        log(
            "a batch is slow",
            model=model,
            variant=variant,
            version=version,
            texts=len(run.plan.texts),
            seconds=round(self._clock() - run.started_s, 3),
        )

    def _lose(self) -> None:
        self.lost = True
        self.trouble = (
            f"an engine has not responded for {2 * self._timeout_s:g} s, "
            "twice SIZEWISE_ENGINE_TIMEOUT_MS"
        )

    def _fail(self, run: Run) -> None:
        reason = f"a batch has run for over {self._timeout_s:g} s"
        if self.alive:
            self.alive, self.trouble = False, reason
            log("an engine does not respond", reason=reason)
        self._on_late(run, EngineFailed(reason))
