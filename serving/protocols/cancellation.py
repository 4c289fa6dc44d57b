"""Cancels a task's wait from a callback, with an exception of the callback's choice."""

import asyncio
from types import TracebackType
from typing import Self


class Cancellation:
    """A context of the current task; calling it raises an error at the task's next wait.

    Like `asyncio.timeout`, but for any reason and at a tenth of the cost.
    """

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._error: Exception | None = None
        self._open = True
        return self

    def __call__(self, error: Exception) -> None:
        """Raise `error` in the task, once; do nothing after the context has ended."""
        if self._open and self._error is None:
            self._error = error
            self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._open = False
        if self._error is None:
            return
        # If the task was cancelled from elsewhere too, that cancellation prevails.
        if self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise self._take_error() from None

    def _take_error(self) -> Exception:
        """Return the error, and forget it: its traceback will refer to this context."""
        error, self._error = self._error, None
        assert error
        return error
