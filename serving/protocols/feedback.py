"""Feedback on answers of every protocol: which labels were right, by the id of the request."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from serving.errors import BodyTooLarge, InvalidField, PathNotFound
from serving.feedback.recorder import FeedbackStore
from serving.observability.request_log import REQUEST_ID
from serving.protocols.dataplane import Api, admitted, admitted_body
from serving.protocols.explanation_schemas import Described
from serving.protocols.large_body import INLINE_BYTES
from serving.protocols.native_schemas import Problem
from serving.protocols.openapi import refusals, request_body
from serving.protocols.problem import PROBLEM_TYPE, problem
from serving.protocols.request_body import parse_body
from serving.runtime.service import Service

_MOST_LABELS = 1024
_FORGETTING = (401, 404, 422, 429, 500, 503)
_GIVING = (400, 401, 404, 408, 413, 415, 422, 429, 500, 503)
router = APIRouter()


class FeedbackRequest(BaseModel):
    """Which labels of one text were right."""

    model_config = ConfigDict(extra="forbid", strict=True)

    request_id: str = Field(
        pattern=f"^{REQUEST_ID.pattern}$", description="`X-Request-Id` of the answer."
    )
    index: int = Field(0, ge=0, description="The text's place in the request, from 0.")
    labels: Annotated[list[str], Field(max_length=_MOST_LABELS)] = Field(
        description="All labels that are right: exactly one, or any number if the model is "
        "multi-label."
    )


class FeedbackResponse(Described):
    """The answer that the feedback is on."""

    model: str
    """The family that answered."""
    variant: str
    """The variant that answered."""
    version: str
    """Its version."""
    predicted: list[str]
    """The labels that it predicted."""
    right: bool
    """Whether they are those that were given."""


@router.post(
    "/v1/feedback",
    responses=refusals(Problem, _GIVING, PROBLEM_TYPE),
    openapi_extra=request_body(FeedbackRequest),
)
async def give(request: Request) -> FeedbackResponse:
    """Say which labels were right; what is given later replaces what was given before."""
    async with admitted_body(request.scope, request.receive) as (client, body):
        store = _store(request)
        if len(body) > INLINE_BYTES:
            raise BodyTooLarge(
                "send the labels of one text", field="body", limit=INLINE_BYTES, value=len(body)
            )
        sent = parse_body(FeedbackRequest, body)
        given = await store.give(
            client.caller.name, sent.request_id, sent.index, sent.labels, consents=client.consents
        )
    request.state.record.model, request.state.record.variant = given.model, given.variant
    return FeedbackResponse(
        model=given.model,
        variant=given.variant,
        version=given.version,
        predicted=list(given.predicted),
        right=given.is_right,
    )


@router.delete(
    "/v1/feedback/{request_id}",
    status_code=204,
    responses=refusals(Problem, _FORGETTING, PROBLEM_TYPE),
)
async def forget(request: Request, request_id: str) -> Response:
    """Delete what is kept of a request; what is in the text log soon, at its next turn."""
    headers = dict(request.scope["headers"])
    async with admitted(request.state.service, request.state.record, headers) as client:
        store = _store(request)
        if not REQUEST_ID.fullmatch(request_id):
            raise InvalidField(
                "no request has this id", field="request_id", limit=REQUEST_ID.pattern,
                value=request_id,
            )  # fmt: skip
        await store.forget(client.caller.name, request_id)
    return Response(status_code=204)


def _store(request: Request) -> FeedbackStore:
    service: Service = request.state.service
    if service.answers is None:
        raise PathNotFound(
            "nothing is kept of answers: SIZEWISE_FEEDBACK_TEXTS is 0, and there is no "
            "SIZEWISE_TEXT_LOG",
            field="path",
        )
    return service.answers.store


API = Api(router, problem)
