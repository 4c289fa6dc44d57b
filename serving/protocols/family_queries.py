"""Queries that only some families can answer: checked against the family before any work is done.

They often pair one text with many others, which multiplies what a body may cost.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from starlette.types import Receive, Scope

from serving.errors import BodyTooLarge, InvalidField, ServedError, TextTooLong
from serving.inference.inputs import Text
from serving.protocols.dataplane import (
    Query,
    absent,
    admitted_body,
    answer,
    check_count,
    deadline_s,
    read,
)
from serving.protocols.request_body import Model
from serving.runtime.service import Service
from serving.settings import Settings
from serving.variants.answers import FamilyAnswer
from serving.variants.family import Family

Meaning = TypeVar("Meaning")


async def classify_with(
    scope: Scope,
    receive: Receive,
    body_type: type[Model],
    query_of: Callable[[Model], Query],
    meaning_of: Callable[[Model, Family], Meaning],
) -> tuple[Model, Meaning, FamilyAnswer]:
    """Answer a request whose body is JSON; return the body, and what it means to the family, too.

    Raises the ServedError to send; `meaning_of` raises InvalidField if the family cannot answer.
    """
    async with admitted_body(scope, receive) as (client, body):
        service: Service = scope["state"]["service"]
        record = scope["state"]["record"]
        sent, query = await read(service, body, body_type, lambda sent: (sent, query_of(sent)))
        try:
            until_s = deadline_s(service, record)
            family = await service.awake(query.model, until_s)
        except ServedError:
            record.model = absent(service, query.model)
            raise
        record.model = family.name
        meaning = meaning_of(sent, family)
        return sent, meaning, await answer(service, record, client, query)


def pairs_of(
    first: str, others: Sequence[str], settings: Settings, *, field: str, of: str
) -> list[Text]:
    """Pair a text with each of several; `field` and `of` are what the protocol calls them.

    Their characters are bounded together, as if the body had the text once for each of the others.
    Raises InvalidField, TooManyTexts, TextTooLong or BodyTooLarge.
    """
    if not others:
        raise InvalidField("send at least one", field=of, limit=1, value=0)
    check_count(len(others), settings.max_texts, of)
    if not first:
        raise InvalidField("the text is empty", field=field, limit=1, value="")
    if len(first) > settings.max_text_chars:
        raise TextTooLong(
            f"{field} has too many characters for SIZEWISE_MAX_TEXT_CHARS: split it",
            field=field,
            limit=settings.max_text_chars,
            value=len(first),
        )
    together = len(first) * len(others) + sum(map(len, others))
    if together > settings.max_body_bytes:
        raise BodyTooLarge(
            f"{field} is read with each of {of}, and the characters of all these pairs exceed the "
            "limit: shorten it or send fewer in one request",
            field=of,
            limit=settings.max_body_bytes,
            value=together,
        )
    return [(first, other) for other in others]
