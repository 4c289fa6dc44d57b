"""text-embeddings-inference's API: /predict, /rerank, /info, /health, /tokenize.

`inputs` is one text; `["a", "b"]` is one pair, and only a list of lists is a batch.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import cached_property
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, FailFast, WithJsonSchema
from pydantic_core import to_json

from serving.errors import EngineFailed, InvalidField, ServedError, TextTooLong, TooManyTexts
from serving.inference.inputs import Handling, Text, chars
from serving.protocols.dataplane import (
    Api,
    Query,
    Refusal,
    admitted_body,
    check_limits,
    classify,
    read,
)
from serving.protocols.family_queries import classify_with, pairs_of
from serving.protocols.large_answer import json_list
from serving.protocols.openapi import CLASSIFYING, READING, refusals, request_body
from serving.protocols.peer_schemas import LabelAndScore, TeiError, TokenInfo
from serving.protocols.request_body import JSON_TYPE
from serving.protocols.rerank_schemas import TeiRank
from serving.protocols.reranking import check_reranker, ranked
from serving.protocols.token_lists import TokenLists
from serving.runtime.service import Service
from serving.variants.answers import Answer, FamilyAnswer
from serving.variants.selection import Requirements

_PAIR = 2
_VALIDATION = 413
_EMPTY = 400
_BACKEND = 424
router = APIRouter(responses=refusals(TeiError, READING))
_REFUSALS = refusals(TeiError, (*CLASSIFYING, _BACKEND))

_TEXT = {"type": "string"}
_ONE_OR_PAIR = {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": _PAIR}
_INPUTS = {"anyOf": [_TEXT, _ONE_OR_PAIR, {"type": "array", "items": _ONE_OR_PAIR, "minItems": 1}]}
_TEXTS = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}


class _Body(BaseModel):
    """How texts are cut, and what a score is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    truncate: bool | None = None
    truncation_direction: Literal["Left", "left", "Right", "right"] | None = None
    raw_scores: bool = False

    @property
    def requirements(self) -> Requirements:
        """The side at which texts are cut, if they are."""
        long: Handling | None = "truncate" if self.truncate else None
        if long and self.truncation_direction:
            long = "left" if self.truncation_direction in {"Left", "left"} else "right"
        return Requirements(long=long)


class PredictBody(_Body):
    """One text, one pair, or a batch of both."""

    inputs: Annotated[Any, WithJsonSchema(_INPUTS)]

    @cached_property
    def texts(self) -> tuple[list[Text], bool]:
        """The texts, and whether they are a batch. Raises InvalidField."""
        return _texts(self.inputs)


class RerankBody(_Body):
    """Texts to order by their relevance to a query."""

    query: str
    texts: Annotated[list[str], FailFast()]
    return_text: bool = False


class TokenizeBody(BaseModel):
    """Texts to tokenize."""

    model_config = ConfigDict(extra="forbid", strict=True)

    inputs: Annotated[Any, WithJsonSchema(_TEXTS)]
    add_special_tokens: bool = True


@router.post(
    "/predict",
    response_model=list[LabelAndScore] | list[list[LabelAndScore]],
    responses=_REFUSALS,
    openapi_extra=request_body(PredictBody),
)
async def predict(request: Request) -> Response:
    """Every label of every input with its score, the highest first."""
    sent, answered = await classify(request.scope, request.receive, PredictBody, _query)
    texts, batch = sent.texts
    service, record = request.state.service, request.state.record

    def write(answers: Sequence[Answer]) -> bytes:
        return to_json(
            [answered.ranked(each.logits if sent.raw_scores else each.scores) for each in answers]
        )

    ranked = await json_list(answered, write)
    return Response(
        ranked if batch else ranked[1:-1],
        media_type=JSON_TYPE,
        headers=_headers(service, record.seconds(), texts, answered),
    )


@router.post(
    "/rerank",
    response_model=list[TeiRank],
    responses=_REFUSALS,
    openapi_extra=request_body(RerankBody),
)
async def rerank(request: Request) -> Response:
    """Every text's place in the request with its score, the most relevant first."""
    service, record = request.state.service, request.state.record

    def query_of(sent: RerankBody) -> Query:
        pairs = pairs_of(sent.query, sent.texts, service.settings, field="query", of="texts")
        return Query(pairs, requirements=sent.requirements)

    sent, _, answered = await classify_with(
        request.scope, request.receive, RerankBody, query_of, check_reranker
    )
    ranks: list[dict[str, Any]] = [
        {"index": index, "score": score} for index, score in ranked(answered, raw=sent.raw_scores)
    ]
    if sent.return_text:
        for each in ranks:
            each["text"] = sent.texts[each["index"]]
    pairs = [(sent.query, text) for text in sent.texts]
    return Response(
        to_json(ranks),
        media_type=JSON_TYPE,
        headers=_headers(service, record.seconds(), pairs, answered),
    )


@router.get("/info")
async def info(request: Request) -> dict[str, Any]:
    """The model and the server's limits."""
    service: Service = request.state.service
    service.callers.identify(dict(request.scope["headers"]))
    settings = service.settings
    manifest = service.family(None).default_manifest
    labels = {str(index): label for index, label in enumerate(manifest.labels)}
    running = service.runtime.running[manifest.family, manifest.variant, manifest.version]
    return {
        "model_id": manifest.family,
        "model_sha": manifest.version,
        "model_dtype": manifest.precision,
        "model_type": {
            "classifier": {
                "id2label": labels,
                "label2id": {label: index for index, label in enumerate(manifest.labels)},
            }
        },
        "max_concurrent_requests": settings.max_requests,
        "max_input_length": manifest.max_length,
        "max_batch_tokens": running.max_batch_tokens,
        "max_batch_requests": None,
        "max_client_batch_size": settings.max_texts,
        "auto_truncate": False,
        "tokenization_workers": max(1, settings.http_processes),
        "version": request.app.version,
        "sha": None,
        "docker_label": None,
    }


@router.get("/health", response_class=Response)
@router.get("/ping", response_class=Response)
async def health(request: Request) -> Response:
    """An empty response if new requests are welcome."""
    request.state.service.check_ready()
    return Response()


@router.post(
    "/tokenize",
    response_model=list[list[TokenInfo]],
    responses=_REFUSALS,
    openapi_extra=request_body(TokenizeBody),
)
async def tokenize(request: Request) -> Response:
    """The tokens of each input."""
    async with AsyncExitStack() as holding:
        admitted = admitted_body(request.scope, request.receive)
        client, body = await holding.enter_async_context(admitted)
        service: Service = request.state.service
        sent, texts = await read(service, body, TokenizeBody, _texts_to_tokenize)
        check_limits(Query(texts, field="inputs"), service.settings)
        manifest = service.family(None).default_manifest
        request.state.record.model, request.state.record.texts = manifest.family, len(texts)
        if client.limited and len(texts) > 1:  # entering has charged the first
            service.runtime.charge(client.caller, len(texts))
        version = (manifest.family, manifest.variant, manifest.version)
        tokenizer = service.runtime.tokenizers.get(version)
        if tokenizer is None:
            raise InvalidField("the model reads tensors, not texts", field="inputs")
        tokens = TokenLists(tokenizer, texts, special=sent.add_special_tokens)
        whole = request.scope["http_version"] == "1.0"
        return await tokens.response(service, holding, whole=whole)


def _texts_to_tokenize(sent: TokenizeBody) -> tuple[TokenizeBody, list[str]]:
    """Raises InvalidField."""
    texts = [sent.inputs] if isinstance(sent.inputs, str) else sent.inputs
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InvalidField("send a string or a list of strings", field="inputs")
    return sent, texts


def _query(sent: PredictBody) -> Query:
    texts, _ = sent.texts
    return Query(texts, requirements=sent.requirements, field="inputs")


def _texts(inputs: Any) -> tuple[list[Text], bool]:
    """Read the texts, and whether they are a batch. Raises InvalidField."""
    if isinstance(inputs, str):
        return [inputs], False
    batch = isinstance(inputs, list) and any(isinstance(each, list) for each in inputs)
    texts = []
    for index, each in enumerate(inputs if batch else [inputs]):
        where = f"inputs[{index}]" if batch else "inputs"
        if not isinstance(each, list) or not all(isinstance(text, str) for text in each):
            raise InvalidField(
                "send a string, a pair of strings, or a batch [[string], [string, string], ...]",
                field=where,
            )
        if not 1 <= len(each) <= _PAIR:
            raise InvalidField(
                "send one string or a pair of strings", field=where, limit=_PAIR, value=len(each)
            )
        texts.append(each[0] if len(each) == 1 else (each[0], each[1]))
    return texts, batch


def _headers(
    service: Service, seconds: float, texts: Sequence[Text], answered: FamilyAnswer
) -> dict[str, str]:
    """Times in whole milliseconds; of several texts, the longest wait and the longest batch."""
    total_ms = str(round(seconds * 1e3))
    return {
        "x-compute-type": service.settings.device,
        "x-compute-time": total_ms,
        "x-compute-characters": str(sum(map(chars, texts))),
        "x-compute-tokens": str(answered.tokens),
        "x-total-time": total_ms,
        "x-tokenization-time": str(round(answered.tokenize_s * 1e3)),
        "x-queue-time": str(round(answered.queue_s * 1e3)),
        "x-inference-time": str(round(answered.engine_s * 1e3)),
    }


def _refusal(error: ServedError, _request_id: str) -> Refusal:
    """Map to TEI's statuses: 413 for too long or too many, 400 for empty, 424 for the engine."""
    kind, status = "Validation", error.status
    if isinstance(error, TextTooLong | TooManyTexts):
        status = _VALIDATION
    elif isinstance(error, EngineFailed):
        kind, status = "Backend", _BACKEND
    elif isinstance(error, InvalidField) and error.value == "":
        kind, status = "Empty", _EMPTY
    elif error.status in {429, 504}:
        kind = "Overloaded"
    elif error.status == 503:
        kind = "Unhealthy"
    return Refusal(status, to_json({"error": error.sentence(), "error_type": kind}), JSON_TYPE)


API = Api(router, _refusal)
