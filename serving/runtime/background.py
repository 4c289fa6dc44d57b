"""Work in threads that may never end: what waits for them gives up, and so does the process."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from threading import Thread
from typing import TypeVar

from serving.errors import BundleError

_Result = TypeVar("_Result")


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
