"""Messages of Python objects between two processes of one server.

They travel over a Unix socket pair that only these two processes hold, so pickle is safe: four
bytes of length and a pickled tuple each.
"""

import asyncio
import pickle
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

_LENGTH_BYTES = 4


class Channel:
    """Messages over a connected socket."""

    @classmethod
    async def over(cls, sock: socket.socket) -> "Channel":
        """Open a channel over `sock` and take ownership of it."""
        return cls(*await asyncio.open_unix_connection(sock=sock))

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, *message: Any) -> None:
        """Send a message; do nothing once the other end has gone."""
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._writer.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)

    async def messages(self) -> AsyncIterator[tuple[Any, ...]]:
        """Yield what the other end sends, until it goes."""
        try:
            while True:
                size = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "big")
                yield pickle.loads(await self._reader.readexactly(size))  # noqa: S301
        except (asyncio.IncompleteReadError, ConnectionError):
            return

    def close(self) -> None:
        """Close the socket."""
        self._writer.close()

    async def closed(self) -> None:
        """Wait, after `close`, until the rest is sent or the other end has gone."""
        with suppress(ConnectionError):
            await self._writer.wait_closed()
