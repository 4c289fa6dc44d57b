"""What every protocol shares: admit a request, read it, answer it and note down what happened."""

import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple, TypeVar

from fastapi import APIRouter
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from serving.access.api_keys import Caller
from serving.access.rate_limits import NO_LIMITS, charges_windows
from serving.batching.queue import Flow, Terms
from serving.errors import InvalidField, ServedError, TextTooLong, TooManyTexts
from serving.inference.inputs import Row, Text, chars
from serving.observability.request_log import RequestRecord
from serving.protocols.cancellation import Cancellation
from serving.protocols.large_body import INLINE_BYTES, check_structure
from serving.protocols.request_body import JSON_TYPE, Model, parse_body, read_body, too_slow
from serving.runtime.service import Service
from serving.settings import Settings
from serving.variants import explaining
from serving.variants.answers import FamilyAnswer
from serving.variants.selection import ANY, Requirements

Result = TypeVar("Result")
# Callers are few.
_flow = lru_cache(1024)(Flow)
_URGENCY = re.compile(rb"(?:^|,)\s*u\s*=\s*([0-7])\s*(?:[;,]|$)")
_NO_REUSE = re.compile(rb"(?:^|,)\s*no-(?:cache|store)\s*(?:[=,]|$)", re.IGNORECASE)


class Refusal(NamedTuple):
    """An error in the form of a protocol."""

    status: int
    body: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Api:
    """A protocol: its endpoints, and the form of its errors, given the request's id."""

    router: APIRouter
    refusal: Callable[[ServedError, str], Refusal]


@dataclass(slots=True)
class Query:
    """What a request wants, in every protocol; `field` is the protocol's name for the inputs.

    `urgency` is what the body asks for besides the headers; -1 if nothing.
    """

    inputs: Sequence[Text | Row]
    model: str | None = None
    requirements: Requirements = ANY
    deadline_ms: int | None = None
    urgency: int = -1
    field: str = "texts"
    explain: explaining.Explain | None = None


@dataclass(slots=True)
class Client:
    """Whose request it is, how urgent, and whether it may be answered from the cache.

    `limited` tells whether the caller has limits, `consents` whether its texts may be logged.
    """

    caller: Caller
    urgency: int
    reuse: bool
    limited: bool
    consents: bool


async def classify(
    scope: Scope, receive: Receive, body_type: type[Model], query_of: Callable[[Model], Query]
) -> tuple[Model, FamilyAnswer]:
    """Answer a request whose body is JSON; return the body too. Raises the ServedError to send."""
    async with admitted_body(scope, receive) as (client, body):
        state = scope["state"]
        service: Service = state["service"]
        sent, query = await read(service, body, body_type, lambda sent: (sent, query_of(sent)))
        return sent, await answer(service, state["record"], client, query)


async def read(
    service: Service,
    body: bytes,
    body_type: type[Model],
    meaning: Callable[[Model], Result],
    *,
    beside_bytes: int = 0,
) -> Result:
    """Parse a JSON body and return its meaning; in a thread if it and what is beside it are large.

    Raises the ServedError to send.
    """
    if len(body) + beside_bytes <= INLINE_BYTES:
        return meaning(parse_body(body_type, body))
    max_texts = service.settings.max_texts

    def work() -> Result:
        check_structure(body, max_texts)
        return meaning(parse_body(body_type, body))

    try:
        return await service.large_work.do(work)
    except TooManyTexts as error:
        error.limit = max_texts
        raise


@asynccontextmanager
async def admitted_body(
    scope: Scope, receive: Receive, media_types: Collection[str] = (JSON_TYPE,)
) -> AsyncIterator[tuple[Client, bytes]]:
    """Admit a request and read its body. Raises the ServedError to send.

    When its client disconnects, the server calls the scope's `on_disconnect`: that frees the
    request's place in the queue and raises ClientDisconnect here.
    """
    service: Service = scope["state"]["service"]
    headers = dict(scope["headers"])
    with Cancellation() as cancel:
        scope["state"]["on_disconnect"] = lambda: cancel(ClientDisconnect())
        async with admitted(service, scope["state"]["record"], headers) as client:
            yield client, await _arrived(scope, headers, receive, cancel, media_types)


async def _arrived(
    scope: Scope,
    headers: Mapping[bytes, bytes],
    receive: Receive,
    cancel: Cancellation,
    media_types: Collection[str],
) -> bytes:
    """Read a body; one that is not there yet takes no room until it is.

    Raises what `read_body` raises, and Overloaded.
    """
    service: Service = scope["state"]["service"]
    settings = service.settings
    if scope["state"].get("has_arrived"):
        return await read_body(headers, receive, cancel, settings, media_types)
    with service.arrivals.arriving(lambda: cancel(too_slow(settings))):
        body = await read_body(headers, receive, cancel, settings, media_types)
    service.check_room()
    return body


@asynccontextmanager
async def admitted(
    service: Service, record: RequestRecord, headers: Mapping[bytes, bytes]
) -> AsyncIterator[Client]:
    """Admit a request by ASGI's `headers`: the key, `Priority` (RFC 9218), `Cache-Control`.

    Raises Unauthorized, Overloaded when the server is full, and RateLimited.
    """
    client = admit(service, record, headers)
    caller = client.caller
    if not client.limited:
        yield client
        return
    if entering := service.runtime.enter(caller):
        await entering
    try:
        yield client
    finally:
        service.runtime.leave(caller)


def admit(service: Service, record: RequestRecord, headers: Mapping[bytes, bytes]) -> Client:
    """Admit a request as `admitted` does, but for the caller's own limits."""
    record.is_inference = True
    caller = service.callers.identify(headers)
    record.caller = caller.name
    service.check_room()
    urgency, reuse, consents = caller.urgency, True, caller.text_log
    if (priority := headers.get(b"priority")) and (given := _URGENCY.search(priority)):
        urgency = max(urgency, int(given[1]))
    if cache_control := headers.get(b"cache-control"):
        reuse = not _NO_REUSE.search(cache_control)
        consents = consents and b"no-store" not in cache_control.lower()
    return Client(caller, urgency, reuse, caller.limits != NO_LIMITS, consents)


def response_headers(record: RequestRecord) -> list[tuple[bytes, bytes]]:
    """Headers of every protocol: the request id, the variant, and whether it degraded."""
    headers = [(b"x-request-id", record.request_id.encode())]
    if record.variant:
        headers.append((b"x-sizewise-variant", record.variant.encode()))
    if record.degraded:
        headers.append((b"x-sizewise-degraded", b"true"))
    return headers


def deadline_s(service: Service, record: RequestRecord, deadline_ms: int | None = None) -> float:
    """Deadline of a request on the service's clock."""
    return record.started_s + (deadline_ms or service.settings.default_deadline_ms) / 1e3


async def answer(
    service: Service, record: RequestRecord, client: Client, query: Query
) -> FamilyAnswer:
    """Answer an admitted request's query; note it in its record. Raises the ServedError to send."""
    check_limits(query, service.settings)
    try:
        until_s = deadline_s(service, record, query.deadline_ms)
        family = await service.awake(query.model, until_s)
        record.model, record.texts = family.name, len(query.inputs)
        if client.limited and record.texts > 1:  # entering has charged the first
            service.runtime.charge(client.caller, record.texts)
        if query.explain:
            explaining.check(query.explain, family, query.inputs)
        flow = _flow(client.caller.name, max(client.urgency, query.urgency))
        terms = Terms(until_s, flow, client.reuse)
        long = query.requirements.long or family.windows.long
        windows = long == "windows" and not isinstance(query.inputs[0], Row)
        if windows and (charge := _charge(service, client)):
            terms.on_windows = charges_windows(charge)
        steps = service.steps(family, flow, query.inputs, windows=windows)
        answered = await family.classify(query.inputs, terms, query.requirements, steps)
        if query.explain:
            means = explaining.Means(terms, service.large_work, _charge(service, client))
            await explaining.explain(family, answered, query.inputs, query.explain, means)
    except ServedError as error:
        error.rename("texts", query.field)
        if not record.model:
            record.model = absent(service, query.model)
        raise
    record.answered = answered
    if client.consents:
        record.consented = query.inputs
    record.variant, record.tokens = answered.variant, answered.tokens
    record.degraded = answered.degraded
    return answered


def _charge(service: Service, client: Client) -> Callable[[int], None] | None:
    """Return what charges the client for more texts, if it is limited."""
    return partial(service.runtime.charge, client.caller) if client.limited else None


def absent(service: Service, name: str | None) -> str:
    """Return the name of a model that is known but not loaded; of any other, ""."""
    known = service.deployments.resting | service.deployments.unloaded
    return name if name and name in known else ""


def check_count(texts: int, limit: int, field: str) -> None:
    """Raise TooManyTexts if a request has more than `limit` texts."""
    if texts > limit:
        raise TooManyTexts(
            "split the texts over several requests", field=field, limit=limit, value=texts
        )


def check_limits(query: Query, settings: Settings) -> None:
    """Check a query against the server's limits.

    Raises TooManyTexts, TextTooLong or InvalidField.
    """
    if len(query.inputs) > settings.max_texts:
        check_count(len(query.inputs), settings.max_texts, query.field)
    most_chars = settings.max_text_chars
    for index, text in enumerate(query.inputs):
        if isinstance(text, str):
            size, whole = len(text), bool(text)
        elif isinstance(text, tuple) and not isinstance(text, Row):
            size, whole = chars(text), all(text)
        else:
            continue
        if not whole:
            field = f"{query.field}[{index}]"
            raise InvalidField("the text is empty", field=field, limit=1, value="")
        if size > most_chars:
            field = f"{query.field}[{index}]"
            raise TextTooLong(
                f"{field} has too many characters for SIZEWISE_MAX_TEXT_CHARS: split it",
                field=field,
                limit=most_chars,
                value=size,
            )
    given_ms, limit_ms = query.deadline_ms or 0, settings.max_deadline_ms
    if given_ms > limit_ms:
        raise InvalidField(
            "deadline_ms exceeds the limit", field="deadline_ms", limit=limit_ms, value=given_ms
        )
