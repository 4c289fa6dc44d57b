"""What clients and probes see of a server: `python -m tests.benchmarks.faults.watcher PORT`.

In a process of its own, so that what injects the fault holds up neither. It writes a line when it
has seen the usual, and when standard input ends all that was seen, as one JSON object. Times are of
the monotonic clock, which all processes share.
"""

import asyncio
import contextlib
import json
import re
import sys
import time

import uvloop

from tests.support.closed_loop import as_request

KEPT, NEW = 4, 2
"""Clients that keep their connection, and that open one for each request."""
PAUSE_S = 0.02
PATIENCE_S = 20.0
LIVE_EVERY_S = 0.01
READY_EVERY_S = 0.1
SCRAPE_EVERY_S = 0.5
# As a probe of Kubernetes.
PROBE_S = 1.0
# What is usual is known after so many.
SCRAPES, REQUESTS = 3, 50
MOST_PROBES = 300
# What the watcher itself was late by is not the server's silence.
LATE_S = 0.02
END_S = 3.0
CONNECTION_CLOSE = re.compile(rb"\r\nconnection: close\r\n", re.IGNORECASE)
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


def probe(path):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


async def exchange(stream, request):
    """(status, body, whether the connection is kept) of one request."""
    reader, writer = stream
    writer.write(request)
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        if head[9:12] != b"100":
            break
    length = LENGTH.search(head)
    body = await reader.readexactly(int(length.group(1))) if length else b""
    return head[9:12].decode(), body, not CONNECTION_CLOSE.search(head)


async def ask(port, request, patience_s, stream=None):
    """(outcome, body, the connection if it is kept): a status, or how it failed.

    `refused` and `unreachable` are those whose request was never sent.
    """
    kept = False
    body = b""
    try:
        async with asyncio.timeout(patience_s):
            if stream is None:
                try:
                    stream = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    return "refused", b"", None
                except OSError:
                    return "unreachable", b"", None
            outcome, body, kept = await exchange(stream, request)
    except TimeoutError:
        outcome = "timeout" if stream else "unreachable"
    except asyncio.IncompleteReadError:
        outcome = "closed"
    except OSError:
        outcome = "reset"
    finally:
        if stream and not kept:
            stream[1].close()
    return outcome, body, stream if kept else None


class Watcher:
    def __init__(self, port):
        self.port = port
        self.ended = asyncio.Event()
        self.requests, self.live, self.ready, self.scrapes, self.late = [], [], [], [], []
        self.probes = set()

    async def client(self, number):
        texts = ("good film", "bad plot", "great film", "awful plot")
        requests = [as_request({"texts": [f"{text} {number}"]}) for text in texts]
        keeps, stream, turn = number < KEPT, None, number
        while not self.ended.is_set():
            began_s = time.monotonic()
            request = requests[turn % len(requests)]
            outcome, _, stream = await ask(self.port, request, PATIENCE_S, stream)
            if not keeps and stream:
                stream[1].close()
                stream = None
            self.requests.append((began_s, time.monotonic(), outcome))
            turn += 1
            await asyncio.sleep(PAUSE_S)
        if stream:
            stream[1].close()

    async def probe(self, path, seen):
        began_s = time.monotonic()
        outcome, body, _ = await ask(self.port, probe(path), PROBE_S)
        why = ""
        if outcome not in {"200", "refused", "timeout"} and body:
            with contextlib.suppress(ValueError, AttributeError):
                why = json.loads(body).get("detail", "")
        seen.append((began_s, time.monotonic(), outcome, why))

    async def scrape(self):
        outcome, body, _ = await ask(self.port, probe("/metrics"), 2 * PROBE_S)
        self.scrapes.append((time.monotonic(), body.decode() if outcome == "200" else None))

    async def every(self, seconds, start):
        """Start a probe each time, whether or not the last one was answered."""
        due_s = time.monotonic()
        while not self.ended.is_set():
            late_s = time.monotonic() - due_s
            if late_s > LATE_S:
                self.late.append((due_s, due_s + late_s))
                due_s += late_s
            if len(self.probes) < MOST_PROBES:
                task = asyncio.create_task(start())
                self.probes.add(task)
                task.add_done_callback(self.probes.discard)
            due_s += seconds
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def tell(self):
        """Say that what comes before the fault has been seen."""
        while len(self.scrapes) < SCRAPES or len(self.requests) < REQUESTS:  # noqa: ASYNC110
            await asyncio.sleep(PAUSE_S)
        print("begun", flush=True)

    async def run(self):
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin, self.ended.set)
        running = [
            *(self.client(number) for number in range(KEPT + NEW)),
            self.every(LIVE_EVERY_S, lambda: self.probe("/health/live", self.live)),
            self.every(READY_EVERY_S, lambda: self.probe("/health/ready", self.ready)),
            self.every(SCRAPE_EVERY_S, self.scrape),
        ]
        tasks = [asyncio.create_task(each) for each in [*running, self.tell()]]
        await self.ended.wait()
        await asyncio.wait({*tasks, *self.probes}, timeout=END_S)
        names = ("requests", "live", "ready", "scrapes", "late")
        print(json.dumps({name: getattr(self, name) for name in names}))


if __name__ == "__main__":
    uvloop.run(Watcher(int(sys.argv[1])).run())
