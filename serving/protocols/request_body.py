"""Reads and parses a request's body; refuses what is malformed, oversized, late or wrong."""

import asyncio
from collections.abc import Collection, Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from serving.errors import (
    BodyTimeout,
    BodyTooLarge,
    InvalidField,
    MalformedBody,
    ServedError,
    TooManyTexts,
    UnsupportedMediaType,
)
from serving.protocols.cancellation import Cancellation
from serving.settings import Settings

JSON_TYPE = "application/json"
MOST_DIGITS = 19
"""Of a length in a header; Python refuses to read a number of thousands of digits."""
Model = TypeVar("Model", bound=BaseModel)


async def read_body(
    headers: Mapping[bytes, bytes],
    receive: Receive,
    cancel: Cancellation,
    settings: Settings,
    media_types: Collection[str] = (JSON_TYPE,),
) -> bytes:
    """Read the whole body, at most max_body_bytes of it, within body_timeout_ms.

    `headers` are ASGI's. Raises what `check_head` raises, ClientDisconnect and, through `cancel`,
    BodyTimeout.
    """
    check_head(headers, settings, media_types)
    body = bytearray()
    more = True
    timer = asyncio.get_running_loop().call_later(
        settings.body_timeout_ms / 1e3, lambda: cancel(body_timeout(settings, len(body)))
    )
    try:
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message["body"]
            more = message["more_body"]
            if len(body) > settings.max_body_bytes:
                raise body_too_large(settings, len(body))
    finally:
        timer.cancel()
    return bytes(body)


def check_head(
    headers: Mapping[bytes, bytes], settings: Settings, media_types: Collection[str] = (JSON_TYPE,)
) -> None:
    """Check what ASGI's `headers` say of the body.

    Raises UnsupportedMediaType or BodyTooLarge.
    """
    content_type = headers.get(b"content-type", b"").decode("latin-1")
    if content_type not in media_types:
        media_type, _, parameter = content_type.lower().partition(";")
        if media_type.strip() not in media_types or "utf" not in (parameter or "utf"):
            wanted = " or ".join(filter(None, media_types))
            raise UnsupportedMediaType(
                f"send Content-Type: {wanted}",
                field="Content-Type",
                limit=wanted,
                value=content_type,
            )
    encoding = headers.get(b"content-encoding", b"").decode("latin-1")
    if encoding.lower() not in {"", "identity"}:
        raise UnsupportedMediaType(
            "send the body uncompressed",
            field="Content-Encoding",
            limit="identity",
            value=encoding,
        )
    declared = int(headers.get(b"content-length", 0))
    if declared > settings.max_body_bytes:
        raise body_too_large(settings, declared)


def body_timeout(settings: Settings, size_bytes: int) -> BodyTimeout:
    """Make the refusal of a body of which so many bytes have come in the time allowed."""
    return BodyTimeout(
        "send the whole body at once",
        field="body",
        limit=settings.body_timeout_ms,
        value=size_bytes,
    )


def too_slow(settings: Settings) -> BodyTimeout:
    """Make the refusal of a slow body whose place another one needs."""
    return BodyTimeout(
        "the server receives as many bodies as it can: send the whole body at once",
        field="body",
        limit=settings.max_requests,
    )


def body_too_large(settings: Settings, size_bytes: int) -> BodyTooLarge:
    """Make the refusal of a body of more bytes than the limit."""
    return BodyTooLarge(
        "send fewer or shorter texts in one request",
        field="body",
        limit=settings.max_body_bytes,
        value=size_bytes,
    )


def parse_body(model: type[Model], body: bytes) -> Model:
    """Parse a JSON body as a model. Raises MalformedBody or InvalidField."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> ServedError:
    """Describe a body's first error: its place, the rule and the value sent."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return MalformedBody(f"{first['msg']}: send one JSON object in UTF-8", field="body")
    path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in _path(first["loc"]))
    context = {k: v for k, v in first.get("ctx", {}).items() if k != "error"}
    if first["type"] == "too_long" and path == ".texts":
        return TooManyTexts(
            "split the texts over several requests", field="texts", limit=context["max_length"]
        )
    limits = [v for k, v in context.items() if k.startswith(("min_", "max_", "ge", "le"))]
    return InvalidField(
        first["msg"],
        field=path.removeprefix(".") or "body",
        limit=limits[0] if limits else first["type"],
        value=first["input"],
    )


def _path(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Leave out the tag that native_schemas.py gives to a kind of text."""
    return (*loc[:2], *loc[3:]) if loc[:1] == ("texts",) else loc
