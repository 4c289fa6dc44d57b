"""What Envoy and the processor say to each other about one request."""

from typing import Any

import grpc

from serving.errors import BodyTooLarge, InvalidField
from serving.protocols.ext_proc.messages import (
    BUFFERED,
    BUFFERED_PARTIAL,
    FULL_DUPLEX,
    NO_BODY,
    PHASE,
    message,
)
from serving.protocols.ext_proc.replies import body_again, going_on, headers_of, refusal
from serving.protocols.ext_proc.verdict import Verdict
from serving.protocols.grpc.bounds import parsed
from serving.variants.answers import Misconfigured

_HEAD, _BODY, _TRAILERS = "request_headers", "request_body", "request_trailers"
# Envoy says each thing once, and hardly ever an empty piece of a body.
_MOST_WAITING = 64


class ClientLeft(Exception):
    """Envoy has ended the stream before the request was whole."""


class Conversation:
    """One stream. Nothing of a request goes on before it is judged, but the first chunks may.

    The last chunk that has content waits, so that no upstream has the whole body.
    """

    def __init__(self, context: Any, max_body_bytes: int) -> None:
        self.headers: dict[bytes, bytes] = {}
        """Of the request, once they have come; those of one name joined by commas."""
        self.whole = False
        """Whether the request has come to its end."""
        self._context = context
        self._max_body_bytes = max_body_bytes
        self._had_head = False
        self._mode: int | None = None
        """How Envoy sends the body, if it has said so."""
        self._body = bytearray()
        self._waiting: list[str] = []
        """Phases for which Envoy waits."""

    @property
    def can_go_on(self) -> bool:
        """Whether Envoy can let the request go on: it keeps no body in this mode."""
        return self.whole or self._mode != FULL_DUPLEX

    async def body(self) -> bytes:
        """Read until the request is whole, and return its body.

        Raises BodyTooLarge, ClientLeft, InvalidField if something is said again and again, and
        Misconfigured if there is a body that Envoy does not send.
        """
        while not self.whole:
            sent: Any = await self._context.read()
            if sent is grpc.aio.EOF:
                raise ClientLeft
            request = parsed(message("ProcessingRequest"), bytes(sent))
            if self._mode is None and request.HasField("protocol_config"):
                self._mode = request.protocol_config.request_body_mode
            phase = request.WhichOneof(PHASE)
            if (phase == _HEAD and self._had_head) or len(self._waiting) >= _MOST_WAITING:
                raise InvalidField("Envoy never says this so often in one stream", field=phase)
            if phase == _HEAD:
                await self._read_head(request.request_headers)
            elif phase == _BODY:
                await self._read_chunk(request.request_body)
            elif phase == _TRAILERS:
                self._waiting.append(phase)
                self.whole = True
            elif phase:  # of a response that does not wait for the request's end
                await self._write(going_on(phase))
        return bytes(self._body)

    def last(self, verdict: Verdict, request_id: str) -> list[bytes]:
        """Return the messages that say what becomes of the request."""
        if not verdict.goes_on:
            return [refusal(verdict, request_id).SerializeToString()]
        headers = headers_of(verdict)
        replies = []
        for phase in self._waiting:
            if phase == _BODY and self._mode == FULL_DUPLEX:
                replies += body_again(bytes(self._body), ends=self._waiting[-1] == _BODY)
            else:
                replies.append(going_on(phase, headers))
        return [reply.SerializeToString() for reply in replies]

    async def _read_head(self, head: Any) -> None:
        self._had_head = True
        for each in head.headers.headers:
            name, value = each.key.lower(), each.raw_value or each.value
            before = self.headers.get(name)
            self.headers[name] = value if before is None else before + b"," + value
        self._waiting.append(_HEAD)
        self.whole = head.end_of_stream
        if self.whole:
            return
        if self._mode == NO_BODY:
            raise Misconfigured(
                "Envoy sends no body: set request_body_mode to BUFFERED", field="request_body_mode"
            )
        if self._mode != FULL_DUPLEX:
            await self._let_go()

    async def _read_chunk(self, chunk: Any) -> None:
        if self._mode != FULL_DUPLEX and chunk.body:
            await self._let_go()
        if self._mode != FULL_DUPLEX or _BODY not in self._waiting:
            self._waiting.append(_BODY)
        self._body += chunk.body
        # With trailers the body that Envoy has buffered is not the stream's end.
        self.whole = chunk.end_of_stream or self._mode == BUFFERED
        is_partial = self._mode == BUFFERED_PARTIAL and not self.whole
        if is_partial or len(self._body) > self._max_body_bytes:
            self.whole = False
            raise BodyTooLarge(
                "send a shorter conversation",
                field="body",
                limit=self._max_body_bytes,
                value=len(self._body),
            )

    async def _let_go(self) -> None:
        """Let everything go on that has waited so far, without headers that pass for ours."""
        waiting, self._waiting = self._waiting, []
        for phase in waiting:
            await self._write(going_on(phase, {} if phase == _HEAD else None))

    async def _write(self, reply: Any) -> None:
        await self._context.write(reply.SerializeToString())
