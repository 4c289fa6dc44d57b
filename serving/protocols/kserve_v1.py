"""KServe's protocol V1: POST /v1/models/{model}:predict, and whether a model is ready.

Each prediction is a result of the native API. `GET /v1/models` is the native API's.
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, WithJsonSchema
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from serving.errors import InvalidField, ServedError
from serving.inference.inputs import Text
from serving.protocols.dataplane import Api, Query, Refusal, classify
from serving.protocols.large_answer import json_list, with_list
from serving.protocols.native import results
from serving.protocols.native_schemas import TextResult
from serving.protocols.openapi import CLASSIFYING, READING, refusals, request_body
from serving.protocols.peer_schemas import HuggingFaceError, ModelReady
from serving.protocols.request_body import JSON_TYPE
from serving.protocols.text_inputs import SENTENCE, TEXT, TEXT_OR_PAIR, text_of
from serving.runtime.service import Service
from serving.variants.selection import Requirements

_PREDICT = ":predict"
_PAIR = 2
_INVALID = 422
_STATUSES = [status for status in CLASSIFYING if status != _INVALID]
router = APIRouter(responses=refusals(HuggingFaceError, READING))
_LIST = {"type": "array", "items": TEXT, "minItems": 1, "maxItems": _PAIR}
_INSTANCES = {"type": "array", "items": {"anyOf": [TEXT, TEXT_OR_PAIR, _LIST]}, "minItems": 1}


class PredictBody(BaseModel):
    """Texts, pairs as {"text", "text_pair"} or ["first", "second"]; `truncate` is our own."""

    model_config = ConfigDict(extra="forbid", strict=True)

    instances: Annotated[Any, WithJsonSchema(_INSTANCES)]
    truncate: bool = False


class Predictions(BaseModel):
    """The results of all instances."""

    predictions: list[TextResult]
    """In the order of the instances."""


@router.post(
    "/v1/models/{model}:predict",
    response_model=Predictions,
    responses=refusals(HuggingFaceError, _STATUSES),
    openapi_extra=request_body(PredictBody),
)
async def predict(request: Request, model: str) -> Response:
    """The result of each instance."""

    def query_of(sent: PredictBody) -> Query:
        requirements = Requirements(truncate=sent.truncate)
        return Query(_texts(sent.instances), model, requirements, field="instances")

    _, answered = await classify(request.scope, request.receive, PredictBody, query_of)
    predictions = await json_list(answered, partial(results, answered))
    content = with_list({"predictions": []}, "predictions", predictions)
    return Response(content, media_type=JSON_TYPE)


@router.get("/v1/models/{model}", response_model=ModelReady)
async def ready(request: Request, model: str) -> dict[str, Any]:
    """Whether a model is ready."""
    if model.endswith(_PREDICT):
        raise HTTPException(405, headers={"Allow": "POST"})
    service: Service = request.state.service
    service.callers.identify(dict(request.scope["headers"]))
    return {"name": service.family(model).name, "ready": True}


def _texts(instances: Any) -> Sequence[Text]:
    """Raises InvalidField."""
    if not isinstance(instances, list) or not instances:
        raise InvalidField("send a list of at least one instance", field="instances")
    texts = []
    for index, each in enumerate(instances):
        text = _pair(each) if isinstance(each, list) else text_of(each)
        if text is None:
            raise InvalidField(
                f'{SENTENCE}, or a pair ["first", "second"]', field=f"instances[{index}]"
            )
        texts.append(text)
    return texts


def _pair(given: list[Any]) -> Text | None:
    """Read a list of one text, or of two."""
    if not 1 <= len(given) <= _PAIR or not all(isinstance(text, str) for text in given):
        return None
    return (given[0], given[1]) if len(given) == _PAIR else given[0]


def _refusal(error: ServedError, _request_id: str) -> Refusal:
    """Send 400 for 422, as KServe does."""
    status = 400 if error.status == _INVALID else error.status
    return Refusal(status, to_json({"error": error.sentence()}), JSON_TYPE)


API = Api(router, _refusal)
