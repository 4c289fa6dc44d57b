"""Closed loops: each client asks again when it has its answer; every answer is kept."""

import asyncio
import contextlib
import json
import re
import time
from dataclasses import dataclass

import numpy as np

from tests.support.processes import FRESH


@dataclass(frozen=True, slots=True)
class Asked:
    began_s: float
    ended_s: float
    status: int
    """0 where there was no answer."""
    retry_after_s: int | None
    body: bytes

    @property
    def ms(self):
        return 1e3 * (self.ended_s - self.began_s)


def as_request(body, **headers):
    content = json.dumps(body).encode()
    given = {"Host": "localhost", "Content-Type": "application/json", **FRESH, **headers}
    given["Content-Length"] = len(content)
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"POST /v1/classify HTTP/1.1\r\n{head}\r\n".encode() + content


@contextlib.asynccontextmanager
async def clients(port, count, requests, pause_s=0.0):
    """What `count` clients have asked so far, in a list that grows; they stop with the block.

    Each asks again `pause_s` after its answer.
    """
    asked, ended = [], asyncio.Event()

    async def client(turn):
        writer = None
        while not ended.is_set():
            began_s = time.monotonic()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(requests[turn % len(requests)])
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head).group(1)
                status, body = int(head[9:12]), await reader.readexactly(int(length))
                later = re.search(rb"retry-after: (\d+)", head)
            except (OSError, EOFError):
                status, body, later, writer = 0, b"", None, None
            retry_after_s = later and int(later.group(1))
            asked.append(Asked(began_s, time.monotonic(), status, retry_after_s, body))
            turn += count
            if pause_s:
                await asyncio.sleep(pause_s)
        if writer:
            writer.close()

    running = [asyncio.create_task(client(number)) for number in range(count)]
    try:
        yield asked
    finally:
        ended.set()
        await asyncio.gather(*running)


def p99_ms(asked):
    return float(np.quantile([each.ms for each in asked], 0.99))
