"""POST /classify as in Infinity and in vLLM.

Both send `model` and `input`. Infinity's clients always send `raw_scores` as well: a request that
has it is answered in Infinity's form, any other in vLLM's.
"""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import to_json

from serving.errors import InvalidField, ServedError
from serving.inference.inputs import Handling, Side
from serving.protocols import dataplane
from serving.protocols.dataplane import Api, Query, Refusal
from serving.protocols.large_answer import json_list, with_list
from serving.protocols.openapi import CLASSIFYING, refusals, request_body
from serving.protocols.peer_schemas import InfinityResponse, OpenAiError, VllmResponse
from serving.protocols.request_body import JSON_TYPE
from serving.variants.answers import Answer, FamilyAnswer
from serving.variants.selection import Requirements

# Infinity's client sends this if it has no model.
_NOT_SPECIFIED = "default/not-specified"
_INVALID = 422
_STATUSES = [status for status in CLASSIFYING if status != _INVALID]
router = APIRouter(responses=refusals(OpenAiError, _STATUSES))
_TEXT = {"type": "string"}
_INPUT = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}


class ClassifyBody(BaseModel):
    """The fields of both; the rest is vLLM's."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input: Annotated[Any, WithJsonSchema(_INPUT)]
    model: Annotated[str, Field(max_length=128)] | None = None
    raw_scores: bool | None = None
    user: str | None = None
    truncate_prompt_tokens: Annotated[int, Field(ge=-1)] | None = None
    truncation_side: Side | None = None
    add_special_tokens: Literal[True] = True
    use_activation: bool | None = None
    activation: bool | None = None
    priority: Literal[0] = 0
    request_id: Annotated[str, Field(max_length=128)] | None = None


@router.post(
    "/classify",
    response_model=InfinityResponse | VllmResponse,
    openapi_extra=request_body(ClassifyBody),
)
async def classify(request: Request) -> Response:
    """Classify one text or several."""
    sent, answered = await dataplane.classify(request.scope, request.receive, ClassifyBody, _query)
    record = request.state.record
    usage = {"prompt_tokens": answered.tokens, "total_tokens": answered.tokens}
    response = {"model": answered.family, "created": int(time.time())}
    if sent.raw_scores is not None:
        response |= {
            "object": "classify",
            "id": f"infinity-{record.request_id}",
            "data": [],
            "usage": usage,
        }
    else:
        response |= {
            "object": "list",
            "id": f"classify-{sent.request_id or record.request_id}",
            "data": [],
            "usage": usage | {"completion_tokens": 0, "prompt_tokens_details": None},
        }
    data = await json_list(answered, partial(_data, sent, answered, count()))
    return Response(with_list(response, "data", data), media_type=JSON_TYPE)


def _query(sent: ClassifyBody) -> Query:
    return Query(
        _texts(sent.input),
        None if sent.model == _NOT_SPECIFIED else sent.model,
        Requirements(long=_long(sent)),
        field="input",
    )


def _data(
    sent: ClassifyBody, answered: FamilyAnswer, numbered: Iterator[int], answers: Sequence[Answer]
) -> bytes:
    """Write the next answers in Infinity's form, or in vLLM's."""
    if sent.raw_scores is not None:
        return to_json(
            [answered.ranked(each.logits if sent.raw_scores else each.scores) for each in answers]
        )
    labels, raw = answered.labels, False in {sent.use_activation, sent.activation}
    return to_json(
        [
            {
                "index": next(numbered),
                "label": labels[max(range(len(labels)), key=each.scores.__getitem__)],
                "probs": each.logits if raw else each.scores,
                "num_classes": len(labels),
            }
            for each in answers
        ]
    )


def _long(sent: ClassifyBody) -> Handling | None:
    """Read vLLM's -1, the model's own length, and side; other lengths are not supported."""
    if sent.truncate_prompt_tokens not in {None, -1}:
        raise InvalidField(
            "texts can only be truncated to the model's length",
            field="truncate_prompt_tokens",
            limit=-1,
            value=sent.truncate_prompt_tokens,
        )
    if sent.truncate_prompt_tokens is None:
        return None
    return sent.truncation_side or "truncate"


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise InvalidField("send a string or a list of strings", field="input")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidField("send text, not token ids", field=f"input[{index}]", value=text)
    return texts


def _refusal(error: ServedError, _request_id: str) -> Refusal:
    """Make an error of OpenAI's API, which both follow; it has 400 for 422."""
    status = 400 if error.status == _INVALID else error.status
    fields = {
        "message": error.sentence(),
        "type": error.code,
        "param": error.field,
        "code": status,
    }
    return Refusal(status, to_json({"error": fields}), JSON_TYPE)


API = Api(router, _refusal)
