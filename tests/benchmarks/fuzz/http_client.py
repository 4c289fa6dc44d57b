"""Sends exchanges to a server from many connections, and checks each answer."""

import asyncio
import contextlib
import itertools
import re

from pydantic_core import from_json

from tests.benchmarks.fuzz.byte_fuzzer import END, KEEP, LEAVE, WAIT

ANSWER_WITHIN_S = 45.0
"""Default deadline and the time of a head are 10 s each; the rest is for a busy machine."""
LINGER_WITHIN_S = 90.0
AT_ONCE_WAITING = 200
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: chunked\r\n", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: close\r\n", re.IGNORECASE)
_JSON = re.compile(rb"\r\ncontent-type: application/(?:problem\+)?json", re.IGNORECASE)
_EMPTY = {204, 304}
_ADDRESSES = itertools.cycle(f"127.0.{number}.1" for number in range(1, 200))


class Answer:
    """A response: its status, and what a check looks at."""

    __slots__ = ("closes", "content", "head", "status")

    def __init__(self, status, head, content, closes):
        self.status, self.head, self.content, self.closes = status, head, content, closes


class Connection(asyncio.Protocol):
    """One connection: what was answered on it, to requests of these methods."""

    def __init__(self):
        self.transport = None
        self.received = b""
        self.methods, self.answers = [], []
        self.ended = False
        self.broken = ""
        self._changed = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data
        with contextlib.suppress(ValueError):
            while self._one():
                pass
        self._changed.set()

    def eof_received(self):
        self.ended = True
        self._changed.set()

    def connection_lost(self, exc):  # noqa: ARG002
        self.ended = True
        self._changed.set()

    async def change(self):
        self._changed.clear()
        await self._changed.wait()

    def _one(self):
        """Take one response off what was received; whether there was one."""
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return False
        head, at = self.received[: end + 2], end + 4
        if not head.startswith(b"HTTP/1.1 ") or not head[9:12].isdigit():
            self.broken = f"no head of a response: {head[:80]!r}"
            self.transport.abort()
            raise ValueError
        status = int(head[9:12])
        if status < 200:
            self.received = self.received[at:]
            return True
        number = len(self.answers)
        method = self.methods[number] if number < len(self.methods) else ""
        content = b""
        if method != "HEAD" and status not in _EMPTY:
            taken = self._content(head, at)
            if taken is None:
                return False
            content, at = taken
        self.received = self.received[at:]
        self.answers.append(Answer(status, head, content, bool(_CLOSES.search(head))))
        return True

    def _content(self, head, at):
        if found := _LENGTH.search(head):
            end = at + int(found[1])
            return (self.received[at:end], end) if len(self.received) >= end else None
        if not _CHUNKED.search(head):
            self.broken = f"a response without a length: {head!r}"
            self.transport.abort()
            raise ValueError
        content = b""
        while True:
            line = self.received.find(b"\r\n", at)
            if line < 0:
                return None
            size = int(self.received[at:line], 16)
            if len(self.received) < line + 4 + size:
                return None
            content += self.received[line + 2 : line + 2 + size]
            at = line + 4 + size
            if not size:
                return content, at


async def ask(connection, exchange):
    """Send, and wait for what must come; what is wrong, or "", and the answers."""
    transport = connection.transport
    connection.methods, connection.answers = exchange.framing.methods, []
    for part in exchange.parts:
        if transport.is_closing():
            break
        transport.write(part)
        if exchange.pause_s and part is not exchange.parts[-1]:
            await asyncio.sleep(exchange.pause_s)
    if exchange.then == LEAVE:
        await asyncio.sleep(exchange.pause_s)
        transport.abort()
        return "", connection.answers
    if exchange.then == END and not transport.is_closing():
        with contextlib.suppress(OSError):  # it may be closed already
            transport.write_eof()
    within_s = LINGER_WITHIN_S if exchange.then == WAIT else ANSWER_WITHIN_S
    try:
        async with asyncio.timeout(within_s):
            while not (connection.ended or _is_done(connection, exchange)):
                await connection.change()
    except TimeoutError:
        return "hang", connection.answers
    if connection.broken:
        return connection.broken, connection.answers
    answers = connection.answers
    if len(answers) < exchange.framing.complete and not (answers and answers[-1].closes):
        return "closed without an answer", answers
    return "", answers


def _is_done(connection, exchange):
    answers = connection.answers
    return exchange.then == KEEP and (
        len(answers) >= exchange.framing.complete or (answers and answers[-1].closes)
    )


async def opened(port):
    """A connection from one of many addresses, so that the ports of one do not run out."""
    _, connection = await asyncio.get_running_loop().create_connection(
        Connection, "127.0.0.1", port, local_addr=(next(_ADDRESSES), 0)
    )
    return connection


def fault_of(answer, allowed):
    """Why an answer is a fault, or ""; `allowed` are statuses from 500 that may come."""
    status = answer.status
    if status >= 500 and (status not in allowed or not _is_documented(answer)):
        return f"status {status}"
    if status == 424:
        return "status 424: the engine failed"
    if answer.content and _JSON.search(answer.head):
        try:
            from_json(answer.content, allow_inf_nan=False)
        except ValueError as error:
            return f"content is not JSON: {error}"
    return ""


def _is_documented(answer):
    """Whether it says why, in the words of that error."""
    return answer.status != 504 or b"eadline" in answer.content
