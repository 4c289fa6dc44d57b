"""Background work: threads that may never end, and tasks that must not end unseen."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from threading import Thread
from typing import Any, TypeVar

from serving.errors import BundleError, SizewiseError, own_words
from serving.logs import LOGGER, log

_Result = TypeVar("_Result")
_RESTART_S = 1.0


async def in_background(work: Callable[[], _Result], what: str, limit_s: float) -> _Result:
    """Run `work` in a thread of its own, which does not keep the process alive.

    Raises what `work` raises, and BundleError after `limit_s`; then the thread is left alone.
    """
    outcome: Future[_Result] = Future()

    def run() -> None:
        with suppress(InvalidStateError):  # nobody waits any more
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001  raised where it is awaited
                outcome.set_exception(error)
            else:
                outcome.set_result(result)

    Thread(target=run, name=what, daemon=True).start()
    ending = asyncio.wrap_future(outcome)
    done, _ = await asyncio.wait((ending,), timeout=limit_s)
    if not done:
        ending.cancel()
        raise BundleError(f"{what} took over {limit_s:g} s (SIZEWISE_LOAD_TIMEOUT_MS)")
    return ending.result()


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
    log("a background task has failed", task=what, reason=own_words(error))
    if not isinstance(error, SizewiseError):
        LOGGER.error("bug", exc_info=error)
