"""One question to a family, whatever protocol it came by: read, check, answer, note down.

It does not know how a question or its answer is written: that is the protocol's file.
"""

import re
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from fastapi import APIRouter
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from serving.access.api_keys import Caller
from serving.batching.queue import Flow, Terms
from serving.errors import InvalidField, ServedError, TextTooLong, TooManyTexts
from serving.inference.inputs import Row, Text, chars
from serving.observability.request_log import RequestRecord
from serving.protocols.cancellation import Interrupt
from serving.protocols.request_body import JSON_TYPE, read_body
from serving.runtime.service import Service
from serving.settings import Settings
from serving.variants.family import FamilyAnswer
from serving.variants.selection import ANY, Wish

_URGENCY = re.compile(rb"(?:^|,)\s*u\s*=\s*([0-7])\s*(?:[;,]|$)")
_NO_REUSE = re.compile(rb"(?:^|,)\s*no-(?:cache|store)\s*(?:[=,]|$)", re.IGNORECASE)


class Refusal(NamedTuple):
    """How a protocol tells an error."""

    status: int
    body: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Api:
    """A protocol: its endpoints, and how it tells an error to the request of that id."""

    router: APIRouter
    refusal: Callable[[ServedError, str], Refusal]


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks, whatever the protocol; `field` is its name for the inputs.

    `urgency` is asked for besides that of the headers; -1 asks for none.
    """

    inputs: Sequence[Text | Row]
    model: str | None = None
    wish: Wish = ANY
    truncate: bool = False
    deadline_ms: int | None = None
    urgency: int = -1
    field: str = "texts"


async def ask(
    scope: Scope, receive: Receive, parse: Callable[[bytes], Question]
) -> tuple[str, FamilyAnswer]:
    """The name of the family that was asked, and its answers; `parse` makes a body a question.

    Raises what is to be refused.
    """
    async with asked(scope, receive) as (asker, body):
        state = scope["state"]
        return await answer(state["service"], state["record"], asker, parse(body))


@asynccontextmanager
async def asked(
    scope: Scope, receive: Receive, media_types: Collection[str] = (JSON_TYPE,)
) -> AsyncIterator[tuple["Asker", bytes]]:
    """Who asks, and the body, while it is being answered. Raises what is to be refused.

    A client that leaves frees its place in the queue, where the server calls the scope's
    `on_disconnect`; it raises ClientDisconnect.
    """
    service: Service = scope["state"]["service"]
    headers = dict(scope["headers"])
    with Interrupt() as interrupt:
        scope["state"]["on_disconnect"] = lambda: interrupt(ClientDisconnect())
        async with admitted(service, scope["state"]["record"], headers) as asker:
            yield asker, await read_body(headers, receive, interrupt, service.settings, media_types)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, how urgently, and whether an answer to somebody else may be used."""

    caller: Caller
    urgency: int
    reuse: bool


@asynccontextmanager
async def admitted(
    service: Service, record: RequestRecord, headers: Mapping[bytes, bytes]
) -> AsyncIterator[Asker]:
    """Let a question in, by ASGI's `headers`: the key, `Priority` (RFC 9218), `Cache-Control`.

    Raises Unauthorized, Overloaded when the server is full, and RateLimited.
    """
    record.asks = True
    caller = service.callers.identify(headers)
    record.caller = caller.name
    service.check_room(service.requests - 1)
    asked = _URGENCY.search(headers.get(b"priority", b""))
    asker = Asker(
        caller,
        urgency=max(caller.urgency, int(asked[1]) if asked else 0),
        reuse=not _NO_REUSE.search(headers.get(b"cache-control", b"")),
    )
    if not caller.limits.any:
        yield asker
        return
    await service.runtime.enter(caller)
    try:
        yield asker
    finally:
        service.runtime.leave(caller)


def deadline_s(service: Service, record: RequestRecord, deadline_ms: int | None = None) -> float:
    """When a request is to be answered, on the service's clock."""
    return record.started_s + (deadline_ms or service.settings.default_deadline_ms) / 1e3


async def answer(
    service: Service, record: RequestRecord, asker: Asker, question: Question
) -> tuple[str, FamilyAnswer]:
    """As `ask`, for a question that has been admitted and read."""
    with named(question.field):
        check_limits(question, service.settings)
        until_s = deadline_s(service, record, question.deadline_ms)
        family = await service.awake(question.model, until_s)
        record.model, record.texts = family.name, len(question.inputs)
        if asker.caller.limits.any:
            service.runtime.charge(asker.caller, len(question.inputs))
        terms = Terms(
            deadline_s=until_s,
            truncate=question.truncate,
            flow=Flow(asker.caller.name, max(asker.urgency, question.urgency)),
            reuse=asker.reuse,
        )
        answered = await family.classify(
            question.inputs, terms, question.wish, service.steps(family, terms.flow)
        )
    service.runtime.recorder.record_answer(answered)
    record.variant, record.tokens = answered.variant, answered.tokens
    record.degraded = answered.degraded
    record.asked_s = answered.passes[0].asked_s
    last = max(answered.answers, key=lambda text: text.queue_s + text.engine_s)
    record.stages = (
        ("tokenize", answered.tokenize_s),
        ("queue", last.queue_s),
        ("engine", last.engine_s),
    )
    return family.name, answered


@contextmanager
def named(field: str) -> Iterator[None]:
    """Let errors call the inputs as the protocol does."""
    try:
        yield
    except ServedError as error:
        error.rename("texts", field)
        raise


def check_limits(question: Question, settings: Settings) -> None:
    """Raises TooManyTexts, TextTooLong or InvalidField."""
    if len(question.inputs) > settings.max_texts:
        raise TooManyTexts(
            "send the texts in several requests",
            field="texts",
            limit=settings.max_texts,
            value=len(question.inputs),
        )
    for index, text in enumerate(question.inputs):
        if isinstance(text, Row):
            continue
        if not all(text if isinstance(text, tuple) else (text,)):
            raise InvalidField("send no empty text", field=f"texts[{index}]", limit=1, value="")
        if chars(text) > settings.max_text_chars:
            raise TextTooLong(
                f"texts[{index}] has too many characters: split it",
                field=f"texts[{index}]",
                limit=settings.max_text_chars,
                value=chars(text),
            )
    if (question.deadline_ms or 0) > settings.max_deadline_ms:
        raise InvalidField(
            "ask for a shorter deadline",
            field="deadline_ms",
            limit=settings.max_deadline_ms,
            value=question.deadline_ms,
        )
