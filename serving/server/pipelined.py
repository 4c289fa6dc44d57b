"""Many requests that one client sent at once, without waiting for an answer to any."""

import asyncio
from collections.abc import Callable, Sized

from uvicorn.protocols.http.flow_control import FlowControl

from serving.server.turns import Turns

VERSION = b"/1."
"""No request lacks it (the parser knows HTTP, RTSP and ICE), and few have it anywhere else."""
MOST_AT_ONCE = 8
"""How many requests of a connection are parsed at a time: one takes 50 times its size."""


class Flow(FlowControl):
    """Reads no further while parsed requests wait: one that is small takes 50 times its size."""

    parse_on: Callable[[], None] | None = None
    """Takes the place of reading while there is more to parse."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Go on, unless requests wait."""
        if self._waiting:
            return
        if self.parse_on:
            self.parse_on()
        else:
            super().resume_reading()


class Pipelined:
    """What was read, to be parsed in parts: each in a turn of its own, on the one before."""

    def __init__(self, data: bytes, turns: Turns, parse: Callable[["Pipelined"], None]) -> None:
        self._data = data
        self._begin = 0
        self._turns = turns
        self._parse = parse
        self._has_turn = False

    @property
    def more(self) -> bool:
        """Whether there is another part."""
        return self._begin < len(self._data)

    def go_on(self) -> None:
        """Parse another part in a turn, unless that is arranged already."""
        if not self._has_turn:
            self._has_turn = True
            self._turns.add(self._take_turn)

    def next_part(self) -> bytes:
        """Return the next part, which holds no more requests than are parsed at a time."""
        begin, end = self._begin, self._begin
        for _ in range(MOST_AT_ONCE):
            found = self._data.find(VERSION, end)
            if found < 0:
                end = len(self._data)
                break
            end = found + len(VERSION)
        self._begin = end
        return self._data[begin:end]

    def _take_turn(self) -> None:
        self._has_turn = False
        self._parse(self)
