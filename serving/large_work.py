"""What takes long for a large request: done beside the event loop."""

import math
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from serving.background import Threads, in_time
from serving.errors import DeadlineMissed

_Result = TypeVar("_Result")


class LargeWork:
    """Does what takes long for a large request beside the event loop, in time or not at all.

    It has one thread, so that the event loop competes with one for the GIL. Raises StartError if
    the machine has none left.
    """

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._thread = Threads(1, "large-work")
        self._thread.start()

    async def do(
        self,
        work: Callable[[], _Result],
        until_s: float = math.inf,
        *,
        thread: Executor | None = None,
        what: str = "work for large requests",
    ) -> _Result:
        """Do `work` in the thread, or in another one, which may hang.

        Raises what `work` raises, and DeadlineMissed at `until_s` on the clock, or when it has
        taken as long as any request may. What has not begun by then, or when this is cancelled,
        never does.
        """
        limit_s = min(self._limit_s, until_s - self._clock())
        try:
            return await in_time(thread or self._thread, work, limit_s)
        except TimeoutError:
            raise DeadlineMissed(
                f"{what} took until the deadline: send fewer or shorter texts, or a longer "
                "deadline",
                field="deadline_ms",
            ) from None

    def close(self) -> None:
        """Release the thread."""
        self._thread.shutdown()
