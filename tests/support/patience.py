"""Runs what might never return."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

_Result = TypeVar("_Result")
_LIMIT_S = 30.0


def ends(work: Callable[[], _Result]) -> _Result:
    """Return or raise what `work` does. Raises TimeoutError if that takes half a minute."""
    outcome: Future[_Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001  raised where it is awaited
            outcome.set_exception(error)

    Thread(target=run, daemon=True).start()
    return outcome.result(_LIMIT_S)
