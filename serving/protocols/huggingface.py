"""What huggingface_hub's InferenceClient asks of a classifier, at the URL of a model.

`text_classification` gets one list for each input, also for a single input. With candidate labels
it is `zero_shot_classification`, which has one input and gets one list.
"""

from collections.abc import Sequence
from functools import cached_property
from operator import itemgetter
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import to_json

from serving.bundles.probabilities import sigmoid, softmax
from serving.errors import InvalidField, ServedError
from serving.inference.inputs import Text
from serving.protocols import zero_shot
from serving.protocols.dataplane import Api, Query, Refusal
from serving.protocols.family_queries import classify_with
from serving.protocols.large_answer import json_list
from serving.protocols.openapi import CLASSIFYING, refusals, request_body
from serving.protocols.peer_schemas import HuggingFaceError, LabelAndScore
from serving.protocols.request_body import JSON_TYPE
from serving.protocols.text_inputs import SENTENCE, TEXT, TEXT_OR_PAIR, text_of
from serving.runtime.service import Service
from serving.settings import Settings
from serving.variants.answers import Answer, FamilyAnswer
from serving.variants.family import Family
from serving.variants.selection import Requirements

router = APIRouter(responses=refusals(HuggingFaceError, CLASSIFYING))
_ONE = {"anyOf": [TEXT, TEXT_OR_PAIR]}
_INPUTS = {"anyOf": [TEXT, TEXT_OR_PAIR, {"type": "array", "items": _ONE, "minItems": 1}]}
_LABELS = {"anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}, {"type": "null"}]}
_OF_TEXT_CLASSIFICATION = ("function_to_apply", "top_k")
_OF_ZERO_SHOT = ("multi_label", "hypothesis_template")


class Parameters(BaseModel):
    """The client's parameters; `function_to_apply` replaces the model's own activation.

    `candidate_labels` make it zero-shot classification; texts are then cut unless `truncation` is
    false, as transformers does.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    candidate_labels: Annotated[Any, WithJsonSchema(_LABELS)] = None
    hypothesis_template: str | None = None
    multi_label: bool | None = None

    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None
    truncation: bool | None = None


class ClassificationBody(BaseModel):
    """`inputs` is a text, a pair as {"text", "text_pair"}, or a list of these; else one text."""

    model_config = ConfigDict(extra="forbid", strict=True)

    inputs: Annotated[Any, WithJsonSchema(_INPUTS)]
    parameters: Parameters = Parameters()
    options: dict[str, Any] = {}

    @cached_property
    def candidates(self) -> list[str]:
        """The labels of zero-shot classification; empty if it is none. Raises InvalidField."""
        return _candidates(self.parameters)


@router.post(
    "/models/{model}",
    response_model=list[list[LabelAndScore]] | list[LabelAndScore],
    openapi_extra=request_body(ClassificationBody),
)
async def classify(request: Request, model: str) -> Response:
    """The labels of each input with their scores, or the candidate labels, the highest first."""
    service: Service = request.state.service
    sent, _, answered = await classify_with(
        request.scope,
        request.receive,
        ClassificationBody,
        lambda sent: _query(sent, model, service.settings),
        _check,
    )
    if sent.candidates:
        return Response(_zero_shot(sent, answered), media_type=JSON_TYPE)
    function, top = sent.parameters.function_to_apply, sent.parameters.top_k

    def write(answers: Sequence[Answer]) -> bytes:
        return to_json([answered.ranked(_scores(each, function))[:top] for each in answers])

    return Response(await json_list(answered, write), media_type=JSON_TYPE)


def _query(sent: ClassificationBody, model: str, settings: Settings) -> Query:
    truncation = sent.parameters.truncation
    if not sent.candidates:
        requirements = Requirements(truncate=bool(truncation))
        return Query(_texts(sent.inputs), model, requirements, field="inputs")
    template = sent.parameters.hypothesis_template
    pairs = zero_shot.hypotheses_of(sent.inputs, sent.candidates, template, settings)
    return Query(
        pairs, model, Requirements(truncate=truncation is not False), field=zero_shot.FIELD
    )


def _candidates(parameters: Parameters) -> list[str]:
    """Read the candidate labels, beside which some parameters mean nothing; or others without."""
    given = parameters.candidate_labels
    for name in _OF_ZERO_SHOT if given is None else _OF_TEXT_CLASSIFICATION:
        value = getattr(parameters, name)
        if value is not None:
            goes = "only with" if given is None else "not with"
            raise InvalidField(
                f"{name} goes {goes} candidate_labels", field=f"parameters.{name}", value=value
            )
    labels = [] if given is None else zero_shot.candidates(given)
    if given is not None and not labels:
        raise InvalidField("send at least one label", field=zero_shot.FIELD, limit=1, value=0)
    return labels


def _check(sent: ClassificationBody, family: Family) -> None:
    if sent.candidates:
        zero_shot.check_entailment(family)


def _zero_shot(sent: ClassificationBody, answered: FamilyAnswer) -> bytes:
    scores = zero_shot.scores_of(answered, multi_label=bool(sent.parameters.multi_label))
    pairs = sorted(zip(scores, sent.candidates, strict=True), key=itemgetter(0), reverse=True)
    return to_json([{"label": label, "score": score} for score, label in pairs])


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
        text = text_of(each)
        if text is None:
            raise InvalidField(SENTENCE, field=f"inputs[{index}]" if many else "inputs")
        texts.append(text)
    if not texts:
        raise InvalidField("send at least one text", field="inputs", limit=1, value=0)
    return texts


def _refusal(error: ServedError, _request_id: str) -> Refusal:
    return Refusal(error.status, to_json({"error": error.sentence()}), JSON_TYPE)


API = Api(router, _refusal)
