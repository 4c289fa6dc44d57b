"""The protocol of huggingface_hub's InferenceClient.text_classification, at the URL of a model.

The answer is one list for each input, also for a single input.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import to_json

from serving.bundles.probabilities import sigmoid, softmax
from serving.errors import InvalidField, ServedError
from serving.inference.inputs import Text
from serving.protocols.dataplane import Api, Query, Refusal, classify
from serving.protocols.large_answer import json_list
from serving.protocols.openapi import CLASSIFYING, refusals, request_body
from serving.protocols.peer_schemas import HuggingFaceError, LabelAndScore
from serving.protocols.request_body import JSON_TYPE
from serving.variants.answers import Answer
from serving.variants.selection import Requirements

router = APIRouter(responses=refusals(HuggingFaceError, CLASSIFYING))
_TEXT = {"type": "string"}
_PAIR = {
    "type": "object",
    "properties": {"text": _TEXT, "text_pair": _TEXT},
    "required": ["text"],
    "additionalProperties": False,
}
_ONE = {"anyOf": [_TEXT, _PAIR]}
_INPUTS = {"anyOf": [_TEXT, _PAIR, {"type": "array", "items": _ONE, "minItems": 1}]}


class Parameters(BaseModel):
    """The client's parameters; `function_to_apply` replaces the model's own activation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None
    truncation: bool | None = None


class TextClassificationBody(BaseModel):
    """`inputs` is a text, a pair as {"text", "text_pair"}, or a list of these."""

    model_config = ConfigDict(extra="forbid", strict=True)

    inputs: Annotated[Any, WithJsonSchema(_INPUTS)]
    parameters: Parameters = Parameters()
    options: dict[str, Any] = {}


@router.post(
    "/models/{model}",
    response_model=list[list[LabelAndScore]],
    openapi_extra=request_body(TextClassificationBody),
)
async def text_classification(request: Request, model: str) -> Response:
    """The labels of each input with their scores, the highest first."""

    def query_of(sent: TextClassificationBody) -> Query:
        requirements = Requirements(long="truncate" if sent.parameters.truncation else None)
        return Query(_texts(sent.inputs), model, requirements, field="inputs")

    sent, answered = await classify(
        request.scope, request.receive, TextClassificationBody, query_of
    )
    function, top = sent.parameters.function_to_apply, sent.parameters.top_k

    def write(answers: Sequence[Answer]) -> bytes:
        return to_json([answered.ranked(_scores(each, function))[:top] for each in answers])

    return Response(await json_list(answered, write), media_type=JSON_TYPE)


def _scores(answer: Answer, function: str | None) -> list[float]:
    if function == "none":
        return answer.logits
    if function is None:
        return answer.scores
    apply = softmax if function == "softmax" else sigmoid
    return apply(answer.logits, answer.temperature)


def _texts(inputs: Any) -> list[Text]:
    """Raises InvalidField."""
    many = isinstance(inputs, list)
    texts: list[Text] = []
    for index, each in enumerate(inputs if many else [inputs]):
        pair = (each.get("text"), each.get("text_pair")) if isinstance(each, dict) else None
        if isinstance(each, str):
            texts.append(each)
        elif pair and isinstance(pair[0], str) and len(each) == 1:
            texts.append(pair[0])
        elif pair and isinstance(pair[0], str) and isinstance(pair[1], str) and len(each) == 2:
            texts.append((pair[0], pair[1]))
        else:
            raise InvalidField(
                'send a string or {"text": ..., "text_pair": ...}',
                field=f"inputs[{index}]" if many else "inputs",
            )
    if not texts:
        raise InvalidField("send at least one text", field="inputs", limit=1, value=0)
    return texts


def _refusal(error: ServedError, _request_id: str) -> Refusal:
    return Refusal(error.status, to_json({"error": error.sentence()}), JSON_TYPE)


API = Api(router, _refusal)
