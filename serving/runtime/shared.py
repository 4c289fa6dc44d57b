"""Work whose result is the same for all who ask at once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Shared(Generic[Result]):
    """Does the work once for all who have asked before it begins, and one time after another."""

    def __init__(self, work: Callable[[], Awaitable[Result]]) -> None:
        self._work = work
        self._next: asyncio.Task[Result] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self) -> Result:
        """Return the result of work that begins from now on."""
        if self._next is None:
            self._next = asyncio.create_task(self._begin())
        return await asyncio.shield(self._next)

    async def _begin(self) -> Result:
        async with self._one_at_a_time:
            self._next = None
            return await self._work()
