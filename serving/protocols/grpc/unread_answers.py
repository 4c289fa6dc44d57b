"""Answers that gRPC clients have not read yet: bounded, since gRPC's core keeps them all.

It has no bound of its own on what it keeps for a client that gives it no window to send.
"""

import asyncio
from collections import Counter

from serving.errors import Overloaded

MOST_BYTES = 1 << 28
"""What all clients of a process together may have yet to read, beyond small answers."""
# What a call holds besides its answer.
_CALL_BYTES = 16_384
# An answer of this size is sent whatever others have not read.
_SMALL_BYTES = 65_536
_RETRY_AFTER_S = 1


class UnreadAnswers:
    """Counts what each connection has yet to read; one that has too much gets no further answer.

    Once half of the bound is taken, a connection gets no further answer while it has its share of
    the other half to read; once all of it is, only those get one that have nothing to read, and a
    small one. So a client that reads is answered whatever others do not read.
    """

    def __init__(self, most_bytes: int | None = None) -> None:
        self._most_bytes = most_bytes or MOST_BYTES
        self._by_connection: Counter[str] = Counter()
        self._bytes = 0

    def check_share(self, connection: str) -> None:
        """Raise Overloaded if a connection has more than its share to read."""
        unread, most = self._by_connection.get(connection, 0), self._most_bytes
        if not unread or 2 * self._bytes <= most:
            return
        if self._bytes > most or 2 * unread * len(self._by_connection) > most:
            raise _too_much("this connection has", unread)

    def add(self, connection: str, answer: bytes) -> None:
        """Count an answer until the current task, which is a call's, has sent it.

        Raises Overloaded if there is no room for it.
        """
        self.check_share(connection)
        size = len(answer) + _CALL_BYTES
        if size > _SMALL_BYTES and self._bytes + size > self._most_bytes:
            raise _too_much("clients have", self._bytes)
        self._bytes += size
        self._by_connection[connection] += size
        task = asyncio.current_task()
        assert task
        task.add_done_callback(lambda _task: self._remove(connection, size))

    def _remove(self, connection: str, size: int) -> None:
        self._bytes -= size
        self._by_connection[connection] -= size
        if not self._by_connection[connection]:
            del self._by_connection[connection]


def _too_much(whose: str, unread_bytes: int) -> Overloaded:
    return Overloaded(
        f"{whose} {unread_bytes} bytes of answers yet to read: read them, then retry",
        retry_after_s=_RETRY_AFTER_S,
    )
