"""Frames of Python objects between two processes of one server.

Over a Unix socket pair that only these two hold, so that pickle is safe on it: four bytes of length
and a pickled tuple. It does not know what the frames say.
"""

import asyncio
import pickle
import socket
from collections.abc import AsyncIterator
from typing import Any

_LENGTH_BYTES = 4


class Link:
    """Frames over a connected socket."""

    @classmethod
    async def over(cls, sock: socket.socket) -> "Link":
        """A link over `sock`, which it owns from now on."""
        return cls(*await asyncio.open_unix_connection(sock=sock))

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, *frame: Any) -> None:
        """Send a frame; after the other end has gone nothing happens."""
        data = pickle.dumps(frame, pickle.HIGHEST_PROTOCOL)
        self._writer.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)

    async def frames(self) -> AsyncIterator[tuple[Any, ...]]:
        """What the other end sends, until it goes."""
        try:
            while True:
                size = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "big")
                yield pickle.loads(await self._reader.readexactly(size))  # noqa: S301
        except (asyncio.IncompleteReadError, ConnectionError):
            return

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
