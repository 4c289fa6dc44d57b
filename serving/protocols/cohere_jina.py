"""Rerank as in Cohere's POST /v1/rerank and /v2/rerank, and Jina's POST /v1/rerank.

Cohere's clients and Jina's read the same response: each finds its own fields in it, and leaves the
other's. Documents that are too long are cut, as both do.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import to_json

from serving.errors import InvalidField, ServedError
from serving.protocols.dataplane import Api, Query, Refusal
from serving.protocols.family_queries import classify_with, pairs_of
from serving.protocols.openapi import CLASSIFYING, refusals, request_body
from serving.protocols.request_body import JSON_TYPE
from serving.protocols.rerank_schemas import RerankError, RerankResponse
from serving.protocols.reranking import check_reranker, ranked
from serving.runtime.service import Service
from serving.settings import Settings
from serving.variants.family import Family
from serving.variants.selection import Requirements

router = APIRouter(responses=refusals(RerankError, CLASSIFYING))
_TEXT = {"type": "string"}
_DOCUMENT = {
    "anyOf": [
        _TEXT,
        {
            "type": "object",
            "properties": {"text": _TEXT},
            "required": ["text"],
            "additionalProperties": _TEXT,
        },
    ]
}
_DOCUMENTS = {"type": "array", "items": _DOCUMENT, "minItems": 1}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    model: Annotated[str, Field(max_length=128)] | None = None
    query: str
    documents: Annotated[Any, WithJsonSchema(_DOCUMENTS)]
    top_n: Annotated[int, Field(ge=1)] | None = None
    max_tokens_per_doc: Annotated[int, Field(ge=1)] | None = None


class RerankV1Body(_Body):
    """Cohere's fields and Jina's; documents are returned unless `return_documents` is false."""

    return_documents: bool | None = None
    rank_fields: list[Literal["text"]] | None = None
    truncation: bool | None = None


class RerankV2Body(_Body):
    """Cohere's fields."""

    priority: Literal[0] | None = None


@router.post("/v1/rerank", response_model=RerankResponse, openapi_extra=request_body(RerankV1Body))
async def rerank_v1(request: Request) -> Response:
    """Documents in the order of their relevance to a query."""
    return await _rerank(request, RerankV1Body)


@router.post("/v2/rerank", response_model=RerankResponse, openapi_extra=request_body(RerankV2Body))
async def rerank_v2(request: Request) -> Response:
    """Documents in the order of their relevance to a query."""
    return await _rerank(request, RerankV2Body)


async def _rerank(request: Request, body_type: type[RerankV1Body | RerankV2Body]) -> Response:
    service: Service = request.state.service
    sent, _, answered = await classify_with(
        request.scope,
        request.receive,
        body_type,
        lambda sent: _query(sent, service.settings),
        _check,
    )
    returned = isinstance(sent, RerankV1Body) and sent.return_documents is not False
    results: list[dict[str, Any]] = []
    for index, score in ranked(answered)[: sent.top_n]:
        result: dict[str, Any] = {"index": index, "relevance_score": score}
        if returned:
            document = sent.documents[index]
            result["document"] = {"text": document} if isinstance(document, str) else document
        results.append(result)
    version = "1" if isinstance(sent, RerankV1Body) else "2"
    response = {
        "id": request.state.record.request_id,
        "object": "list",
        "model": answered.family,
        "results": results,
        "meta": {"api_version": {"version": version}},
        "usage": {"total_tokens": answered.tokens},
    }
    return Response(to_json(response), media_type=JSON_TYPE)


def _query(sent: _Body, settings: Settings) -> Query:
    pairs = pairs_of(sent.query, _texts(sent.documents), settings, field="query", of="documents")
    truncate = not isinstance(sent, RerankV1Body) or sent.truncation is not False
    return Query(pairs, sent.model, Requirements(truncate=truncate), field="documents")


def _texts(documents: Any) -> list[str]:
    if not isinstance(documents, list):
        raise InvalidField('send a list of strings or of {"text": ...}', field="documents")
    texts = []
    for index, each in enumerate(documents):
        fields = each if isinstance(each, dict) else {"text": each}
        if "text" not in fields or not all(isinstance(text, str) for text in fields.values()):
            raise InvalidField(
                'send a string or {"text": ...}, with strings in all fields',
                field=f"documents[{index}]",
                value=each,
            )
        texts.append(fields["text"])
    return texts


def _check(sent: _Body, family: Family) -> None:
    """Raise InvalidField if a family cannot rerank, or would read more of a document than asked."""
    check_reranker(sent, family)
    longest = family.default_manifest.max_length
    if sent.max_tokens_per_doc is not None and sent.max_tokens_per_doc < longest:
        raise InvalidField(
            "documents can only be cut to the model's length",
            field="max_tokens_per_doc",
            limit=longest,
            value=sent.max_tokens_per_doc,
        )


def _refusal(error: ServedError, _request_id: str) -> Refusal:
    """Say it where Cohere's clients look for it, and where Jina's do."""
    said = error.sentence()
    return Refusal(error.status, to_json({"message": said, "detail": said}), JSON_TYPE)


API = Api(router, _refusal)
