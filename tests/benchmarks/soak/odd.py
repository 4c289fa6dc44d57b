"""What the bulk does not send: clients that leave or dawdle, large requests, streams, gRPC."""

import asyncio
import contextlib
import json
import random
import re
import signal
import socket
import struct

import grpc
import uvloop

from serving.protocols.ext_proc.messages import message
from serving.protocols.ext_proc.processor import PATH
from serving.protocols.open_inference.grpc_messages import parameters_of
from tests.benchmarks.soak.kinds import CLASSIFY, MOST_TEXTS, SENTENCE_TOKENS, post, sentences
from tests.benchmarks.soak.tally import Tally
from tests.benchmarks.soak.world import API_KEY, MOST_BODY_BYTES
from tests.support.grpc_calls import INFER, call, request

GROUPS = {
    "in mid-request": [(CLASSIFY, "leave", "200"), (CLASSIFY, "leave", "499")],
    "in mid-body": [(CLASSIFY, "", "499")],
    "in mid-stream": [("/tokenize", "tone", "200"), ("/tokenize", "tone", "499"),
                      ("/tokenize", "", "499")],
    "gRPC": [(INFER, "leave", "200"), (INFER, "leave", "499"), (INFER, "", "499")],
}  # fmt: skip
"""Requests whose client does not learn how they ended, by what their records may say."""
_ANSWER_S = 60
_PAUSE_S = 0.3
_RESET = struct.pack("ii", 1, 0)
_GRPC_METADATA = (("authorization", f"Bearer {API_KEY}"),)
processing = message("ProcessingRequest")
_status = re.compile(rb"HTTP/1.1 (\d+)").match
_length = re.compile(rb"content-length: (\d+)").search


class Odd:
    """Sends odd requests until `stop` is set, one round after the other."""

    def __init__(self, port, grpc_port, stop):
        self.port, self.grpc_port, self.stop = port, grpc_port, stop
        self.tally = Tally()
        self._chosen = random.Random(0)
        self._rounds = 0
        self._slow = []

    async def run(self):
        while not self.stop.is_set():
            self._rounds += 1
            for work in (
                self._leave, self._reset, self._half_body, self._many_texts, self._refused,
                self._malformed, self._stream, self._leave_stream, self._pages,
                *((self._grpc, self._burst, self._slow_body) if self._rounds % 20 == 1 else ()),
            ):  # fmt: skip
                try:
                    async with asyncio.timeout(_ANSWER_S):
                        await work()
                except (OSError, EOFError, TimeoutError, grpc.aio.AioRpcError) as error:
                    self.tally.fault(work.__name__.strip("_"), repr(error))
            await asyncio.sleep(_PAUSE_S)
        await asyncio.gather(*self._slow)

    @contextlib.asynccontextmanager
    async def _open(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def _ask(self, data, endpoint, right, texts=0):
        """Send a request and tally its answer; `right` are models by status."""
        async with self._open() as (reader, writer):
            writer.write(data)
            status, content = await read(reader)
        if status not in right:
            self.tally.fault(endpoint, f"{status} {content[:200]!r}")
        self.tally.requests[endpoint, right.get(status, "?"), str(status)] += 1
        if status == 200 and texts:
            self.tally.sums["texts", right[200]] += texts
            self.tally.sums["tokens", right[200]] += int(
                re.search(rb'"tokens":(\d+)\}\}$', content).group(1)
            )
            self.tally.sums["degraded", right[200]] += content.count(b'"degraded":true')
        if status == 429:
            self.tally.rejected["overloaded"] += 1
        return content

    def _leaving(self, texts=8):
        windowed = sentences(self._chosen, 1, 600)
        texts = [*sentences(self._chosen, texts, 40), *windowed]
        return post(CLASSIFY, {"model": "leave", "texts": texts})

    async def _leave(self):
        async with self._open() as (_, writer):
            writer.write(self._leaving())
            await asyncio.sleep(self._chosen.uniform(0.001, 0.05))
        self.tally.least["in mid-request"] += 1
        self.tally.most["in mid-request"] += 1

    async def _reset(self):
        async with self._open() as (_, writer):
            own = writer.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.write(self._leaving())
            await asyncio.sleep(self._chosen.choice((0, 0.01)))
            writer.transport.abort()
        self.tally.most["in mid-request"] += 1

    async def _half_body(self):
        whole = self._leaving()
        async with self._open() as (_, writer):
            writer.write(whole[: -self._chosen.randrange(1, 1000)])
            await asyncio.sleep(self._chosen.uniform(0, 0.01))
        self.tally.least["in mid-body"] += 1
        self.tally.most["in mid-body"] += 1

    async def _many_texts(self):
        body = {"model": "tone", "texts": sentences(self._chosen, MOST_TEXTS, 20)}
        whole = post(CLASSIFY, body | {"deadline_ms": 60_000, "allow_degraded": False})
        await self._ask(whole, CLASSIFY, {200: "tone"}, MOST_TEXTS)
        head, _, content = whole.partition(b"\r\n\r\n")
        head = re.sub(rb"Content-Length: \d+", b"Transfer-Encoding: chunked", head)
        chunks = b"".join(
            b"%x\r\n%b\r\n" % (len(part), part)
            for part in (content[at : at + 4096] for at in range(0, len(content), 4096))
        )
        chunked = head + b"\r\n\r\n" + chunks + b"0\r\n\r\n"
        await self._ask(chunked, CLASSIFY, {200: "tone"}, MOST_TEXTS)

    async def _refused(self):
        large = {"texts": ["x" * (MOST_BODY_BYTES + 1)]}
        await self._ask(post(CLASSIFY, large), CLASSIFY, {413: ""})
        long = {"inputs": [1]}
        await self._ask(post("/tokenize", long), "/tokenize", {422: ""})
        await self._ask(post("/predict", {"inputs": ""}), "/predict", {400: ""})

    async def _malformed(self):
        """HTTP that is none gets 400, and counts as no request."""
        async with self._open() as (reader, writer):
            writer.write(
                self._chosen.choice((b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01 ?\r\n\r\n"))
            )
            status, _ = await read(reader)
        if status != 400:
            self.tally.fault("malformed", status)
        async with self._open() as (_, writer):
            writer.write(b"POST /v1/classify HT")

    def _streamed(self):
        texts = [text * 12 for text in sentences(self._chosen, 60, 12)]
        return post("/tokenize", {"inputs": texts})

    async def _stream(self):
        await self._ask(self._streamed(), "/tokenize", {200: "tone"})

    async def _leave_stream(self):
        async with self._open() as (reader, writer):
            writer.write(self._streamed())
            if self._chosen.random() < 0.5:
                await reader.readuntil(b"\r\n\r\n")
                self.tally.requests["/tokenize", "tone", "200"] += 1
            else:
                # A stream that has begun counts as 200.
                await asyncio.sleep(0)
                writer.transport.abort()
                self.tally.most["in mid-stream"] += 1

    async def _pages(self):
        for path, route in (
            ("/v1/models", "/v1/models"), ("/info", "/info"), ("/health", "/health"),
            ("/health/ready", "/health/ready"), ("/v2/models/tone", "/v2/models/{model}"),
        ):  # fmt: skip
            data = post(path, b"", method="GET", Content_Type=None)
            await self._ask(data, route, {200: ""})

    async def _slow_body(self):
        async def ask():
            async with self._open() as (reader, writer):
                writer.write(self._leaving()[:-5])
                status, _ = await read(reader)
            self.tally.requests[CLASSIFY, "", str(status)] += 1
            if status != 408:
                self.tally.fault("slow body", status)

        self._slow.append(asyncio.create_task(ask()))

    async def _burst(self):
        """More texts at once than the queue holds."""
        texts = sentences(self._chosen, MOST_TEXTS, 20)
        body = {"model": "leave", "texts": texts, "deadline_ms": 60_000, "truncate": True}
        asking = (
            self._ask(post(CLASSIFY, body), CLASSIFY, {200: "leave", 429: "leave"})
            for _ in range(5)
        )
        await asyncio.gather(*asking)

    async def _grpc(self):
        target = f"127.0.0.1:{self.grpc_port}"
        async with grpc.aio.insecure_channel(target) as channel:
            infer = call(channel)
            for _ in range(3):
                sent = request(*sentences(self._chosen, 1))
                answered = await infer(sent, metadata=_GRPC_METADATA, timeout=_ANSWER_S)
                self.tally.requests[INFER, "tone", "200"] += 1
                self.tally.sums["texts", "tone"] += 1
                self.tally.sums["tokens", "tone"] += SENTENCE_TOKENS
                degraded = dict(parameters_of(answered.parameters))["degraded"]
                self.tally.sums["degraded", "tone"] += degraded
            for sent, status in ((request("good", model="none"), "404"), (request(), "422")):
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await infer(sent, metadata=_GRPC_METADATA, timeout=_ANSWER_S)
                    self.tally.fault("gRPC", f"what deserves {status} was answered")
                self.tally.requests[INFER, "", status] += 1
            await self._check(channel)
            sent = request(*sentences(self._chosen, 8, 40), model="leave")
            leaving = infer(sent, metadata=_GRPC_METADATA)
            await asyncio.sleep(0.005)
            leaving.cancel()
            self.tally.most["gRPC"] += 1

    async def _check(self, channel):
        """Two streams of the external processor; one's client leaves before it has sent a body."""
        body = json.dumps({"prompt": sentences(self._chosen, 1)}).encode()
        sent = [
            processing(request_headers={}).SerializeToString(),
            processing(request_body={"body": body, "end_of_stream": True}).SerializeToString(),
        ]
        process = channel.stream_stream(PATH)
        answers = process(iter(sent), metadata=_GRPC_METADATA, timeout=_ANSWER_S)
        *_, last = [answer async for answer in answers]
        answered = message("ProcessingResponse").FromString(last).immediate_response.status.code
        self.tally.requests[PATH, "tone", "200"] += 1
        self.tally.sums["texts", "tone"] += 1
        self.tally.sums["tokens", "tone"] += SENTENCE_TOKENS
        if answered not in {0, 403}:
            self.tally.fault("the external processor", answered)
        leaving = process(metadata=_GRPC_METADATA)
        await leaving.write(sent[0])
        await leaving.read()
        leaving.cancel()
        self.tally.requests[PATH, "", "499"] += 1


async def read(reader):
    """(status, content) of a response."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(_status(head).group(1))
    if status == 100:
        return await read(reader)
    if length := _length(head):
        return status, await reader.readexactly(int(length.group(1)))
    content = b""
    while size := int(await reader.readline(), 16):
        content += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return status, content


def run(outcome, *arguments):
    """In a process of its own: send, and put the tally into `outcome`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    odd = Odd(*arguments)
    try:
        uvloop.run(odd.run())
    finally:
        outcome.put(("odd", odd.tally))
