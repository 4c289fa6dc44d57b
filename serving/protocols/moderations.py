"""OpenAI's POST /v1/moderations: which categories of a family's labels apply to a text.

`input` is a text, a list of texts, or one input as a list of parts, of which only text is read.
"""

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import to_json

from serving.errors import InvalidField, ServedError
from serving.protocols.dataplane import Api, Query, Refusal, absent
from serving.protocols.family_queries import classify_with
from serving.protocols.large_answer import json_list, with_list
from serving.protocols.moderation_schemas import ModerationError, ModerationResponse
from serving.protocols.openai_errors import openai_error_of
from serving.protocols.openapi import CLASSIFYING, refusals, request_body
from serving.protocols.request_body import JSON_TYPE
from serving.runtime.service import Service
from serving.variants.answers import Answer, FamilyAnswer
from serving.variants.family import Family
from serving.variants.selection import Requirements

# Clients that know nothing of families send the names of OpenAI's models.
_OPENAIS = ("omni-moderation-", "text-moderation-")
_INVALID = 422
_STATUSES = [status for status in CLASSIFYING if status != _INVALID]
router = APIRouter(responses=refusals(ModerationError, _STATUSES))
_TEXT = {"type": "string"}
_PART = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "text": _TEXT},
    "required": ["type", "text"],
    "additionalProperties": False,
}
_INPUT = {
    "anyOf": [
        _TEXT,
        {"type": "array", "items": _TEXT, "minItems": 1},
        {"type": "array", "items": _PART, "minItems": 1},
    ]
}


class ModerationBody(BaseModel):
    """OpenAI's fields; `truncate` is our own."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input: Annotated[Any, WithJsonSchema(_INPUT)]
    model: Annotated[str, Field(max_length=128)] | None = None
    truncate: bool = False

    @cached_property
    def texts(self) -> tuple[list[str], bool]:
        """The texts, and whether they are the parts of one input. Raises InvalidField."""
        return _texts(self.input)


@router.post(
    "/v1/moderations",
    response_model=ModerationResponse,
    openapi_extra=request_body(ModerationBody),
)
async def moderate(request: Request) -> Response:
    """Which categories apply to each input."""
    service: Service = request.state.service
    sent, harmless, answered = await classify_with(
        request.scope, request.receive, ModerationBody, partial(_query, service), _harmless
    )
    _, are_parts = sent.texts

    def write(answers: Sequence[Answer]) -> bytes:
        return to_json([_moderation(answered, [each], harmless) for each in answers])

    def write_whole() -> bytes:
        return to_json([_moderation(answered, answered.answers, harmless)])

    results = await (
        service.large_work.do(write_whole) if are_parts else json_list(answered, write)
    )
    fields = {
        "id": f"modr-{request.state.record.request_id}",
        "model": answered.family,
        "results": [],
    }
    return Response(with_list(fields, "results", results), media_type=JSON_TYPE)


def _query(service: Service, sent: ModerationBody) -> Query:
    name = sent.model
    served = name in service.families or absent(service, name)
    if name and name.startswith(_OPENAIS) and not served:
        name = None
    texts, _ = sent.texts
    return Query(
        texts, name, Requirements(long="truncate" if sent.truncate else None), field="input"
    )


def _harmless(_sent: ModerationBody, family: Family) -> Sequence[str] | None:
    """Return the labels that are no categories. Raises InvalidField if that is not known."""
    manifest, harmless = family.default_manifest, family.policy.harmless
    if manifest.problem_type == "regression":
        raise InvalidField(
            f"{family.name} answers values, not the probabilities that moderation needs: name a "
            "family of single or multi-label classifiers",
            field="model",
            value=family.name,
        )
    if harmless is None and not manifest.multi_label and family.applied.thresholds is None:
        raise InvalidField(
            f"one label of {family.name} applies to every text, and nothing says which of them "
            'are nothing to flag: list those in its policy.json as "harmless", or decide '
            "thresholds",
            field="model",
            value=family.name,
        )
    return harmless


def _moderation(
    answered: FamilyAnswer, parts: Sequence[Answer], harmless: Sequence[str] | None
) -> dict[str, Any]:
    """Make the result of one input: what any of its parts is flagged for, and the highest scores.

    Raises what FamilyAnswer.flags raises.
    """
    categories: dict[str, bool] = {}
    for each in parts:
        for label, flagged in answered.flags(each, harmless).items():
            categories[label] = flagged or categories.get(label, False)
    scores = {
        label: max(each.scores[index] for each in parts)
        for index, label in enumerate(answered.labels)
        if label in categories
    }
    return {
        "flagged": any(categories.values()),
        "categories": {label: categories[label] for label in scores},
        "category_scores": scores,
        "category_applied_input_types": {label: ["text"] for label in scores},
    }


def _texts(given: Any) -> tuple[list[str], bool]:
    if isinstance(given, str):
        return [given], False
    if not isinstance(given, list) or not given:
        raise InvalidField("send a string, a list of strings or a list of parts", field="input")
    are_parts = isinstance(given[0], dict)
    read = _text_of_part if are_parts else _text
    return [read(each, f"input[{index}]") for index, each in enumerate(given)], are_parts


def _text(given: Any, where: str) -> str:
    if not isinstance(given, str):
        raise InvalidField("send text, not token ids or parts", field=where, value=given)
    return given


def _text_of_part(part: Any, where: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "image_url":
        raise InvalidField(
            "images cannot be read: send text", field=where, limit="text", value=kind
        )
    if kind != "text" or part.keys() != {"type", "text"} or not isinstance(part["text"], str):
        raise InvalidField('send {"type": "text", "text": ...}', field=where)
    return part["text"]


def _refusal(error: ServedError, _request_id: str) -> Refusal:
    """Make an error of OpenAI's API, which has 400 for 422."""
    status = 400 if error.status == _INVALID else error.status
    return Refusal(status, openai_error_of(error), JSON_TYPE)


API = Api(router, _refusal)
