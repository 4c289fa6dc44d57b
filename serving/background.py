"""Background work: threads that may never end, and tasks that must not end unseen."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from serving.errors import BundleError, EngineFailed, SizewiseError, StartError, failures, own_words
from serving.logs import LOGGER, log
from serving.shortage import Shortage, is_shortage

_Result = TypeVar("_Result")
_RESTART_S = 1.0


class Failures:
    """Counts the background tasks of this process that have failed."""

    def __init__(self) -> None:
        self._number = 0

    def count(self) -> None:
        """Count one."""
        self._number += 1

    def take(self) -> int:
        """Return how many have failed since the last call."""
        number, self._number = self._number, 0
        return number


FAILURES = Failures()


class Threads(Executor):
    """Threads that run one piece of work after the other, and do not keep the process alive.

    The interpreter waits at its exit for those of a ThreadPoolExecutor, whatever they run.
    """

    def __init__(
        self, number: int, name: str, initializer: Callable[[], object] | None = None
    ) -> None:
        self._number = number
        self._name = name
        self._initializer = initializer
        self._threads: list[Thread] = []
        """Those that have been started; each is when there is work for it."""
        self._waiting: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._is_shut_down = False

    def submit(
        self, work: Callable[..., _Result], /, *arguments: Any, **named: Any
    ) -> Future[_Result]:
        """See Executor."""
        if self._is_shut_down:
            raise RuntimeError(f"the threads {self._name} are shut down")
        if len(self._threads) < self._number:
            self._start()
        outcome: Future[_Result] = Future()
        self._waiting.put((outcome, partial(work, *arguments, **named)))
        return outcome

    def start(self) -> None:
        """Start a thread before there is work: later the machine may have none left.

        Raises StartError.
        """
        with failures(StartError, f"starting a thread ({self._name})"):
            self._start()

    def _start(self) -> None:
        name = f"{self._name}-{len(self._threads)}"
        thread = Thread(target=self._run, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = True) -> None:  # noqa: ARG002
        """Cancel what has not begun, and let each thread end once what it runs returns."""
        self._is_shut_down = True
        with suppress(Empty):
            while waiting := self._waiting.get_nowait():
                waiting[0].cancel()
        for _ in self._threads:
            self._waiting.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _run(self) -> None:
        if self._initializer:
            self._initializer()
        while waiting := self._waiting.get():
            _run_into(*waiting)
            del waiting  # what it refers to may be large


def _run_into(outcome: Future[_Result], work: Callable[[], _Result]) -> None:
    if not outcome.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001  raised where it is awaited
        outcome.set_exception(error)
        # The error refers to this frame, which would keep the work and itself alive.
        del outcome, work
    else:
        outcome.set_result(result)


_SHORT_WORK = Threads(1, "short-work")


def start_short_work() -> None:
    """Start the thread of `short_work`. Raises StartError."""
    _SHORT_WORK.start()


async def in_time(thread: Executor, work: Callable[[], _Result], limit_s: float) -> _Result:
    """Do work in a thread that may hang. Raises TimeoutError; what has not begun never does."""
    return await _within(thread.submit(work), limit_s)


def short_work(work: Callable[[], _Result]) -> asyncio.Future[_Result]:
    """Do what takes longer than others should wait for the loop, and soon ends, in one thread.

    The loop's own executor would start a thread even to end.
    """
    return asyncio.get_running_loop().run_in_executor(_SHORT_WORK, work)


async def in_background(work: Callable[[], _Result], what: str, limit_s: float) -> _Result:
    """Run `work` in a thread of its own, which does not keep the process alive.

    Raises what `work` raises, and BundleError after `limit_s` or if the machine has no thread left.
    After `limit_s`, and when this is cancelled, the thread is left alone.
    """
    return await _end_of(_begun(work, what), what, limit_s)


async def patiently(work: Callable[[], _Result], what: str, limit_s: float) -> _Result:
    """Run `work` as `in_background` does, and anew while the machine is short, for `limit_s`.

    Raises EngineFailed if it is short for longer.
    """
    clock, told = asyncio.get_running_loop().time, False
    until_s = clock() + limit_s
    while True:
        try:
            return await in_background(work, what, limit_s)
        except Exception as error:
            if not is_shortage(error):
                raise
            if clock() > until_s:
                raise EngineFailed(f"{what}: {own_words(error)}") from error
            if not told:
                log("the machine is short", task=what, reason=own_words(error))
                told = True
        await asyncio.sleep(_RESTART_S)


def _begun(work: Callable[[], _Result], what: str) -> Future[_Result]:
    outcome: Future[_Result] = Future()
    try:
        Thread(target=_run_into, args=(outcome, work), name=what, daemon=True).start()
    except RuntimeError as error:
        raise Shortage(f"{what}: {own_words(error)}") from error
    return outcome


async def _end_of(outcome: Future[_Result], what: str, limit_s: float) -> _Result:
    try:
        return await _within(outcome, limit_s)
    except asyncio.CancelledError:
        if not outcome.done():
            log("left unfinished", work=what)
        raise
    except _OutOfTime:
        late = f"{what} took over {limit_s:g} s (SIZEWISE_LOAD_TIMEOUT_MS)"
        raise BundleError(late) from None


class _OutOfTime(TimeoutError):
    """The limit has passed, as opposed to a TimeoutError that the work itself raised."""


async def _within(outcome: Future[_Result], limit_s: float) -> _Result:
    ending = asyncio.wrap_future(outcome)
    try:
        done, _ = await asyncio.wait((ending,), timeout=limit_s)
    finally:
        ending.cancel()
    if not done:
        raise _OutOfTime
    try:
        return ending.result()
    finally:
        del ending, done, outcome  # what it raises refers to this frame


class Reader:
    """Reads files in threads: a file system that hangs takes one of them, whatever is waiting.

    Every failure is a BundleError that names the setting `where`.
    """

    def __init__(self, where: str, limit_s: float) -> None:
        self._where = where
        self._limit_s = limit_s
        self._one_at_a_time = asyncio.Lock()
        self._last: Future[Any] | None = None
        """The last read; one that nobody waits for any more may go on."""

    async def read(self, read: Callable[..., _Result], *arguments: object) -> _Result:
        """Read something in time, after what others read; while a read hangs, no other begins."""
        async with self._one_at_a_time:
            if self._last and not self._last.done():
                raise BundleError(f"{self._where}: the file system still does not answer")

            def work() -> _Result:
                with failures(BundleError, self._where):
                    return read(*arguments)

            what = f"reading {self._where}"
            self._last = reading = _begun(work, what)
            return await _end_of(reading, what, self._limit_s)


def start(work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
    """Run `work` as a task; if it fails, the log says so at once, whoever awaits it later."""
    task = asyncio.create_task(work, name=what)
    task.add_done_callback(_report)
    return task


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        _log_end(task.get_name(), error)


async def keep_running(work: Callable[[], Coroutine[Any, Any, None]], what: str) -> None:
    """Run `work` until it returns; each time that it fails, the log says so and it starts anew."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  logged
            _log_end(what, error)
            await asyncio.sleep(_RESTART_S)
        else:
            return


async def unending(work: Coroutine[Any, Any, None], what: str) -> None:
    """Run what only cancellation ends. Raises RuntimeError if it returns."""
    await work
    raise RuntimeError(f"{what} has ended, which it never should")


def _log_end(what: str, error: BaseException) -> None:
    FAILURES.count()
    log("a background task has failed", task=what, reason=own_words(error))
    if not isinstance(error, SizewiseError):
        LOGGER.error("bug", exc_info=error)
