"""Shares the turns of the event loop among the connections of a server.

What all connections sent meanwhile is read in one turn of the loop. If each began at once what it
has to do, hundreds of them would keep everybody else waiting for as long as all of that takes.
"""

import asyncio
from collections import deque
from collections.abc import Callable

# Of 0.1 to 0.3 ms each.
_MOST_A_TURN = 16


class Turns:
    """Work that waits for its turn: first come, first served, and little in each turn."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._room = _MOST_A_TURN
        self._scheduled = False

    def begin(self, work: Callable[[], None]) -> None:
        """Do this at once, or in the next turn that has room for it."""
        if self._room and not self._waiting:
            self._room -= 1
            self._schedule()
            work()
        else:
            self.add(work)

    def add(self, work: Callable[[], None]) -> None:
        """Do this in the next turn that has room for it."""
        self._waiting.append(work)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._take)

    def _take(self) -> None:
        self._scheduled = False
        self._room = _MOST_A_TURN
        for _ in range(min(len(self._waiting), _MOST_A_TURN)):
            self._room -= 1
            self._waiting.popleft()()
        if self._room < _MOST_A_TURN:
            self._schedule()
