"""The answer of /tokenize, made and sent in pieces as its client reads it.

A token takes some 60 bytes of JSON, so that a megabyte of text would be an answer of 30 MB, kept
for a client that may never read it.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from functools import partial

from fastapi import Response
from pydantic_core import to_json
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from serving.errors import ServedError, TooManyTexts
from serving.inference.tokenizer import Token, Tokenizer, pieces
from serving.protocols.request_body import JSON_TYPE
from serving.runtime.service import Service

TOKENS_PER_TEXT = 512
"""A request may have so many tokens for each text of SIZEWISE_MAX_TEXTS."""

_INLINE_CHARS = 1000
_SLICE_TOKENS = 1000


class TokenLists:
    """The tokens of some texts as JSON."""

    def __init__(self, tokenizer: Tokenizer, texts: Sequence[str], *, special: bool) -> None:
        self._tokenizer = tokenizer
        self._special = special
        self._pieces = list(pieces(texts))
        self._chars = sum(map(len, texts))

    async def response(self, service: Service, holding: AsyncExitStack, *, whole: bool) -> Response:
        """Make the response; `whole` is for a client that does not know of chunks.

        One that is sent in pieces takes over what the request is `holding`, until its end.
        Raises TooManyTexts, EngineFailed and DeadlineMissed.
        """
        if self._chars <= _INLINE_CHARS and self._tokenizer.thread is None:
            content = b"[" + b",".join(map(self._write, self._pieces)) + b"]"
            return Response(content, media_type=JSON_TYPE)
        await self._check(service)
        if len(self._pieces) > 1 and not whole:
            return _InPieces(self._json(service), holding.pop_all())
        content = b"".join([part async for part in self._json(service)])
        return Response(content, media_type=JSON_TYPE)

    async def _check(self, service: Service) -> None:
        limit = service.settings.max_texts * TOKENS_PER_TEXT
        tokens, thread = 0, self._tokenizer.thread
        for piece in self._pieces:
            count = partial(self._tokenizer.count_tokens, piece, special=self._special)
            tokens += await service.large_work.do(count, thread=thread)
            if tokens > limit:
                raise TooManyTexts(
                    "the texts have too many tokens: split them over several requests",
                    field="inputs",
                    limit=limit,
                    value=tokens,
                )

    async def _json(self, service: Service) -> AsyncIterator[bytes]:
        before, thread = b"[", self._tokenizer.thread
        for piece in self._pieces:
            write = partial(self._write, piece)
            yield before + await service.large_work.do(write, thread=thread)
            before = b","
        yield b"]"

    def _write(self, texts: Sequence[str]) -> bytes:
        """Write the lists of a piece, separated by commas; the GIL is kept for slices only."""
        lists = []
        for text in texts:
            tokens = self._tokenizer.tokens(text, special=self._special)
            slices = [
                to_json([_fields(token) for token in tokens[start : start + _SLICE_TOKENS]])[1:-1]
                for start in range(0, len(tokens), _SLICE_TOKENS)
            ]
            lists.append(b"[" + b",".join(slices) + b"]")
        return b",".join(lists)


def _fields(token: Token) -> dict[str, object]:
    number, text, special, start, stop = token
    return {"id": number, "text": text, "special": special, "start": start, "stop": stop}


class _InPieces(Response):
    """A response whose next piece is made once its client has read most of those before."""

    media_type = JSON_TYPE

    def __init__(self, parts: AsyncIterator[bytes], holding: AsyncExitStack) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._parts = parts
        self._holding = holding

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """See the ASGI specification; end early when the client leaves.

        What is refused after the first piece ends the connection before the list: the log says why.
        """
        head = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        try:
            async with self._holding:
                await send(head)
                async for part in self._parts:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except ClientDisconnect:
            return
        except ServedError as error:
            scope["state"]["record"].refuse(error)
