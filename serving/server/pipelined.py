"""Many requests that one client sent at once, without waiting for an answer to any."""

from collections.abc import Callable

from serving.server.turns import Turns

VERSION = b"/1."
"""No request lacks it (the parser knows HTTP, RTSP and ICE), and few have it anywhere else."""
MOST_AT_ONCE = 8
"""How many requests of a connection are parsed at a time: one takes 50 times its size."""


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
