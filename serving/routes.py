"""The native endpoints: parse, ask the family, name the answer.

They do not know how a request is recorded or how an error is sent: that is app.py.
"""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from serving.body import JSON_TYPE, parse_body, read_body
from serving.errors import (
    ServedError,
    Unauthorized,
)
from serving.family import FamilyAnswer
from serving.interrupt import Interrupt
from serving.schemas import (
    ClassifyRequest,
    ClassifyResponse,
    Health,
    ModelInfo,
    ModelsResponse,
    Problem,
    VariantInfo,
)
from serving.service import Service
from serving.settings import Settings

CLASSIFY_PATH = "/v1/classify"
LABEL_HOLDS_FROM = 0.5
PROBLEM_TYPE = "application/problem+json"

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "content": {PROBLEM_TYPE: {}}}
    for status in (400, 401, 404, 405, 408, 413, 415, 422, 429, 500, 503, 504)
}
router = APIRouter()


@dataclass(slots=True)
class RequestRecord:
    """What one request was, filled in on its way and recorded once by app.py."""

    request_id: str
    started_s: float
    model: str = ""
    variant: str = ""
    texts: int = 0
    tokens: int = 0
    error: ServedError | None = None


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
    """`classify` for app.py, without FastAPI's objects around it. Raises what is to be refused.

    A client that leaves frees its place in the queue, where the server calls the scope's
    `on_disconnect`; it raises ClientDisconnect.
    """
    service: Service = scope["state"]["service"]
    record: RequestRecord = scope["state"]["record"]
    settings = service.settings
    headers = dict(scope["headers"])
    authorize(headers, settings)
    with Interrupt() as interrupt:
        scope["state"]["on_disconnect"] = lambda: interrupt(ClientDisconnect())
        asked = parse_body(await read_body(headers, receive, interrupt, settings), settings)
        family = service.family(asked.model)
        record.model, record.texts = family.name, len(asked.texts)
        deadline_ms = asked.deadline_ms or settings.default_deadline_ms
        answer = await family.classify(
            asked.texts,
            variant=asked.variant,
            truncate=asked.truncate,
            deadline_s=record.started_s + deadline_ms / 1e3,
            allow_degraded=asked.allow_degraded,
        )
    service.runtime.recorder.record_classified(family.name, answer.classified, answer.degraded)
    record.variant, record.tokens = answer.classified.variant, answer.classified.tokens
    return Response(
        to_json(_body(family.name, answer)),
        media_type=JSON_TYPE,
        headers={"Server-Timing": _server_timing(answer)},
    )


@router.get("/v1/models", responses=PROBLEMS)
async def models(request: Request) -> ModelsResponse:
    """Families and variants, with what each was measured to do."""
    service: Service = request.state.service
    authorize(dict(request.scope["headers"]), service.settings)
    service.family(next(iter(service.families), None))
    return ModelsResponse(
        models=[
            ModelInfo(
                model=family.name,
                default_variant=family.default_variant,
                variants=[
                    VariantInfo(
                        **manifest.model_dump(include=set(VariantInfo.model_fields)),
                        **asdict(service.runtime.running[family.name, manifest.variant]),
                        state="ready",
                    )
                    for manifest in family.manifests
                ],
            )
            for family in service.families.values()
        ]
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
    page, content_type = await service.runtime.page()
    return Response(page, headers={"Content-Type": content_type})


def authorize(headers: Mapping[bytes, bytes], settings: Settings) -> None:
    """Raises Unauthorized unless ASGI's `headers` hold the key that the settings ask for."""
    if settings.api_key is None:
        return
    wanted = f"Bearer {settings.api_key.get_secret_value()}".encode()
    given = headers.get(b"authorization", b"")
    if not secrets.compare_digest(wanted, given):
        raise Unauthorized("send Authorization: Bearer <key>", field="Authorization")


def _body(model: str, answer: FamilyAnswer) -> dict[str, Any]:
    """ClassifyResponse as plain objects; building the pydantic models costs more than the rest."""
    classified = answer.classified
    results = []
    for text in classified.answers:
        best = max(range(len(text.scores)), key=text.scores.__getitem__)
        results.append(
            {
                "label": classified.labels[best],
                "labels": [
                    label
                    for index, (label, score) in enumerate(
                        zip(classified.labels, text.scores, strict=True)
                    )
                    if (score >= LABEL_HOLDS_FROM if classified.multi_label else index == best)
                ],
                "score": text.scores[best],
                "scores": dict(zip(classified.labels, text.scores, strict=True)),
                "variant": classified.variant,
                "version": classified.version,
                "truncated": text.truncated,
                "degraded": answer.degraded,
            }
        )
    usage = {"texts": len(results), "tokens": classified.tokens}
    return {"model": model, "results": results, "usage": usage}


def _server_timing(answer: FamilyAnswer) -> str:
    """W3C Server-Timing in ms: the request's tokenization, longest wait and longest batch."""
    classified = answer.classified
    queue_s = max(text.queue_s for text in classified.answers)
    engine_s = max(text.engine_s for text in classified.answers)
    return (
        f"tokenize;dur={classified.tokenize_s * 1e3:.3f}, "
        f"queue;dur={queue_s * 1e3:.3f}, engine;dur={engine_s * 1e3:.3f}"
    )
