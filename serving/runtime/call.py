"""A call of another process."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")


class Call(asyncio.Future[_Result]):
    """Waits for the answer to a call; cancelling it calls `withdraw` with its number."""

    deadline_s: float
    late_ticks = 0
    """Ticks since its deadline."""

    def __init__(self, number: int, withdraw: Callable[[int], None]) -> None:
        super().__init__()
        self.number = number
        self._withdraw = withdraw

    def cancel(self, msg: object = None) -> bool:
        """See asyncio.Future."""
        cancelled = super().cancel(msg)
        if cancelled:
            self._withdraw(self.number)
        return cancelled
