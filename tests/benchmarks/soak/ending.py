"""The end of the server: a SIGTERM under load, after which nothing that was accepted is lost."""

import asyncio
import re
import time
from dataclasses import dataclass

import uvloop

from tests.benchmarks.soak.kinds import CLASSIFY, post
from tests.benchmarks.soak.odd import read

CLIENTS = 16
BEFORE_S = 1.0
_EXIT_S = 60


@dataclass
class Ending:
    """`lost` are requests that the server has logged and whose client has no whole answer."""

    answered: int
    other: int
    lost: int
    seconds: float
    status: int | None

    @property
    def right(self):
        return self.status == 0 and self.lost == 0 and self.other == 0 and self.answered > 0


async def _client(port, number, statuses):
    turn = 0
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return
        try:
            while True:
                turn += 1
                own_id = f"end-{number}-{turn}"
                body = {"texts": ["good film"], "model": "tone"}
                writer.write(post(CLASSIFY, body, X_Request_Id=own_id))
                status, _ = await read(reader)
                statuses[own_id] = status
        except (OSError, EOFError):
            continue
        finally:
            writer.close()


async def _load(server, port, statuses):
    clients = [asyncio.create_task(_client(port, n, statuses)) for n in range(CLIENTS)]
    await asyncio.sleep(BEFORE_S)
    server.process.terminate()
    began_s = time.monotonic()
    while server.process.poll() is None and time.monotonic() < began_s + _EXIT_S:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    seconds = time.monotonic() - began_s
    # New connections are dropped, not refused, until the listener is closed.
    await asyncio.wait(clients, timeout=10)
    for each in clients:
        each.cancel()
    return seconds


def end(server, log):
    """Stop the server while clients ask it."""
    statuses = {}
    port = int(re.search(r":(\d+)$", server.url).group(1))
    seconds = uvloop.run(_load(server, port, statuses))
    log.join(10)
    return Ending(
        answered=sum(status == 200 for status in statuses.values()),
        other=sum(status != 200 for status in statuses.values()),
        lost=len({each.decode() for each in log.own_ids} - statuses.keys()),
        seconds=seconds,
        status=server.process.poll(),
    )
