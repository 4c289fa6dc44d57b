"""Numbers in place of names, between two processes."""

from collections.abc import Callable
from typing import TypeVar

_Name = TypeVar("_Name")
MOST_NAMES = 4096
"""Callers come and go: beyond so many names, those of flows are given anew."""


class Numbers(dict[_Name, int]):
    """The numbers of names; that of a name which is forgotten is given to another one."""

    def __init__(self, tell: Callable[[int, _Name], None]) -> None:
        """Before the number of a name is used, `tell` the other process which it is."""
        super().__init__()
        self._tell = tell
        self._unused: list[int] = []

    def of(self, name: _Name) -> int:
        """Return the number of a name; one that has none gets one."""
        number = self.get(name)
        if number is None:
            number = self[name] = self._unused.pop() if self._unused else len(self)
            self._tell(number, name)
        return number

    def forget(self, name: _Name) -> None:
        """Forget a name, if it has a number."""
        number = self.pop(name, None)
        if number is not None:
            self._unused.append(number)

    def forget_all(self, kind: type) -> None:
        """Forget the names of this kind."""
        for name in [each for each in self if isinstance(each, kind)]:
            self.forget(name)
