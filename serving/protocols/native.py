"""The native endpoints: parse, ask the family, name the answer.

They do not know how a request is recorded or how an error is sent: that is app.py.
"""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json
from starlette.types import Receive, Scope

from serving.errors import ServedError
from serving.protocols.dataplane import Api, Question, Refusal, ask
from serving.protocols.native_schemas import (
    ClassifyRequest,
    ClassifyResponse,
    Health,
    ModelInfo,
    ModelsResponse,
    Problem,
    VariantInfo,
)
from serving.protocols.request_body import JSON_TYPE, parse_body
from serving.runtime.service import Service
from serving.variants.family import FamilyAnswer
from serving.variants.selection import Wish

CLASSIFY_PATH = "/v1/classify"
PROBLEM_TYPE = "application/problem+json"

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "content": {PROBLEM_TYPE: {}}}
    for status in (400, 401, 404, 405, 408, 413, 415, 422, 429, 500, 503, 504)
}
router = APIRouter()


@router.post(
    CLASSIFY_PATH,
    response_model=ClassifyResponse,  # documented only: the handler builds its own response
    responses=PROBLEMS,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {JSON_TYPE: {"schema": ClassifyRequest.model_json_schema()}},
        }
    },
)
async def classify(request: Request) -> Response:
    """Classify texts; each result names the variant and version that gave it."""
    return await answer_classify(request.scope, request.receive)


async def answer_classify(scope: Scope, receive: Receive) -> Response:
    """`classify` for app.py, without FastAPI's objects around it. Raises what `ask` raises."""
    model, answer = await ask(scope, receive, _question)
    return Response(
        to_json(_body(model, answer)),
        media_type=JSON_TYPE,
        headers={"Server-Timing": _server_timing(answer)},
    )


@router.get("/v1/models", responses=PROBLEMS)
async def models(request: Request) -> ModelsResponse:
    """Families and variants, with what each was measured to do."""
    service: Service = request.state.service
    service.callers.identify(dict(request.scope["headers"]))
    service.check_alive()
    return ModelsResponse(
        models=[
            ModelInfo(
                model=family.name,
                default_variant=family.default_variant,
                variants=[
                    VariantInfo(
                        **manifest.model_dump(include=set(VariantInfo.model_fields)),
                        **asdict(
                            service.runtime.running[family.name, manifest.variant, manifest.version]
                        ),
                        **family.trying(manifest.variant),
                        cost=cost,
                        state="ready",
                    )
                    for manifest, cost in family.costs()
                ],
                cascade=family.cascade,
                policy=family.policy,
            )
            for family in service.families.values()
        ],
        resting=sorted(service.deployments.resting),
        unloaded=sorted(service.deployments.unloaded),
        refused=dict(service.deployments.refused),
    )


@router.get("/health/live")
async def live() -> Health:
    """The process answers; says nothing about models or load."""
    return Health(status="live")


@router.get("/health/ready", responses={503: PROBLEMS[503]})
async def ready(request: Request) -> Health:
    """New requests are welcome: loaded, engines alive and not shutting down."""
    service: Service = request.state.service
    service.check_ready()
    return Health(status="ready")


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    service: Service = request.state.service
    page, content_type = await service.runtime.page(ready=service.ready)
    return Response(page, headers={"Content-Type": content_type})


def _refusal(error: ServedError, request_id: str) -> Refusal:
    """A `Problem` as JSON; building the pydantic model costs more than the rest."""
    fields = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
        "field": error.field,
        "limit": error.limit,
        "value": error.value,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    return Refusal(error.status, to_json(given), PROBLEM_TYPE)


def _question(body: bytes) -> Question:
    asked = parse_body(ClassifyRequest, body)
    return Question(
        asked.texts,
        asked.model,
        Wish(asked.variant, asked.allow_degraded, asked.min_accuracy, asked.max_cost),
        asked.truncate,
        asked.deadline_ms,
    )


def _body(model: str, answer: FamilyAnswer) -> dict[str, Any]:
    """ClassifyResponse as plain objects; building the pydantic models costs more than the rest."""
    results = []
    for text in answer.answers:
        best = max(range(len(text.scores)), key=text.scores.__getitem__)
        results.append(
            {
                "label": answer.labels[best],
                "labels": answer.labels_of(text),
                "score": text.scores[best],
                "scores": dict(zip(answer.labels, text.scores, strict=True)),
                "variant": text.variant,
                "version": text.version,
                "truncated": text.truncated,
                "degraded": text.degraded,
            }
        )
    usage = {"texts": len(results), "tokens": answer.tokens}
    return {"model": model, "results": results, "usage": usage}


def _server_timing(answer: FamilyAnswer) -> str:
    """W3C Server-Timing in ms: the request's tokenization, longest wait and longest batch."""
    queue_s = max(text.queue_s for text in answer.answers)
    engine_s = max(text.engine_s for text in answer.answers)
    return (
        f"tokenize;dur={answer.tokenize_s * 1e3:.3f}, "
        f"queue;dur={queue_s * 1e3:.3f}, engine;dur={engine_s * 1e3:.3f}"
    )


API = Api(router, _refusal)
