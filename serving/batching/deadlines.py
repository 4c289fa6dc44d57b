"""Deadlines by the tick: one timer for each tick costs less than one for each request."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

_TICK_S = 0.01

Entry = TypeVar("Entry")


class Deadlines(Generic[Entry]):
    """Calls `on_passed` with each entry that is still there at its deadline, up to 10 ms late.

    Lives on one event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_passed: Callable[[Entry], None]) -> None:
        self._loop = loop
        self._on_passed = on_passed
        self._entries: dict[int, set[Entry]] = {}
        """By the tick in which they pass."""

    def add(self, entry: Entry, deadline_s: float, now_s: float) -> set[Entry]:
        """Add an entry; discard it from the returned set when it no longer has a deadline."""
        tick = int(deadline_s / _TICK_S) + 1
        entries = self._entries.get(tick)
        if entries is None:
            entries = self._entries[tick] = set()
            self._loop.call_later(tick * _TICK_S - now_s, self._pass, tick)
        entries.add(entry)
        return entries

    def _pass(self, tick: int) -> None:
        entries = self._entries.pop(tick)
        # `on_passed` may discard the others too.
        while entries:
            self._on_passed(entries.pop())
