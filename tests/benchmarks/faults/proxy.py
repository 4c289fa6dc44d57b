"""A TCP proxy that does to what passes what a bad network does."""

import asyncio
import contextlib
import socket
import threading
from dataclasses import dataclass

from tests.support.processes import free_port

LARGE = 1 << 16
ABORTIVE = b"\1\0\0\0\0\0\0\0"


@dataclass(frozen=True)
class Link:
    delay_s: float = 0.0
    """Before each piece, each way."""
    piece: int = LARGE
    """Bytes that pass at a time."""
    reset_after: int = 0
    """Bytes from the client after which both connections are reset; 0: never."""
    half_close: int = 0
    """Bytes from the client after which the sending side ends; 0: never."""
    lose_after: int = 0
    """Bytes from the client after which nothing passes any more; 0: never."""


def _reset(writer):
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORTIVE)
    writer.transport.abort()


async def _copy(link, reader, writer, others, *, upward):
    passed = 0
    with contextlib.suppress(OSError):
        while data := await reader.read(link.piece):
            if link.delay_s:
                await asyncio.sleep(link.delay_s)
            passed += len(data)
            if upward and link.lose_after and passed > link.lose_after:
                await asyncio.sleep(3600)
            writer.write(data)
            await writer.drain()
            if upward and link.reset_after and passed >= link.reset_after:
                for each in others:
                    _reset(each)
                return
            if upward and link.half_close and passed >= link.half_close:
                writer.write_eof()
                return
    with contextlib.suppress(OSError, RuntimeError):
        writer.close()


@contextlib.contextmanager
def proxied(port, link):
    """The port of a proxy to this port."""
    own = free_port()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()
    begun = threading.Event()

    async def handle(reader, writer):
        below, above = await asyncio.open_connection("127.0.0.1", port)
        # Pieces of a client are cut smaller than they come.
        await asyncio.gather(
            _copy(link, reader, above, (writer, above), upward=True),
            _copy(link, below, writer, (writer, above), upward=False),
        )

    async def serve():
        server = await asyncio.start_server(handle, "127.0.0.1", own)
        begun.set()
        await ended.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert begun.wait(10)
    try:
        yield own
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()
