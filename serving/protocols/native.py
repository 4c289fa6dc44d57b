"""The native endpoints: parse a body, answer its query, write the response."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache, partial

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from serving.bundles.decisions import unproven_in
from serving.bundles.risks import group_gap, stress_drop
from serving.observability.request_log import RequestRecord
from serving.protocols import dataplane
from serving.protocols.dataplane import Api, Query, response_headers
from serving.protocols.large_answer import json_list, with_list
from serving.protocols.native_schemas import (
    ClassifyRequest,
    ClassifyResponse,
    Health,
    ModelInfo,
    ModelsResponse,
    Problem,
    VariantInfo,
)
from serving.protocols.openapi import CLASSIFYING, READING, refusals, request_body
from serving.protocols.problem import PROBLEM_TYPE, problem
from serving.protocols.request_body import JSON_TYPE
from serving.runtime.service import Service
from serving.variants.answers import Answer, FamilyAnswer
from serving.variants.explaining import Explain
from serving.variants.family import Family
from serving.variants.selection import Requirements

CLASSIFY_PATH = "/v1/classify"
router = APIRouter(responses=refusals(Problem, READING, PROBLEM_TYPE))
# Most requests of a server require the same.
_requirements = lru_cache(64)(Requirements)


@router.post(
    CLASSIFY_PATH,
    response_model=ClassifyResponse,  # documented only: the handler builds its own response
    responses=refusals(Problem, CLASSIFYING, PROBLEM_TYPE),
    openapi_extra=request_body(ClassifyRequest),
)
async def classify(request: Request) -> Response:
    """Classify texts; each result names the variant and version that gave it."""
    _, answer = await dataplane.classify(request.scope, request.receive, ClassifyRequest, query_of)
    return Response(
        await content_in_turns(answer),
        media_type=JSON_TYPE,
        headers={"Server-Timing": _server_timing(answer).decode()},
    )


def _unproven(service: Service, family: Family) -> list[str]:
    running = service.runtime.running
    runs_as = {
        each.variant: running[family.name, each.variant, each.version].runs_as
        for each in family.manifests
    }
    return unproven_in(family.cascade, family.applied, runs_as, family.manifests, family.windows)


@router.get("/v1/models")
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
                        **family.trial_versions(manifest.variant),
                        stress_drop=stress_drop(manifest),
                        group_gap=group_gap(manifest),
                        cost=cost,
                        state="ready",
                    )
                    for manifest, cost in family.costs()
                ],
                cascade=family.cascade,
                decisions=family.applied.decisions,
                undecided=family.applied.undecided,
                unproven=_unproven(service, family),
                policy=family.policy,
                windows=family.windows,
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


@router.get("/health/ready")
async def ready(request: Request) -> Health:
    """New requests are welcome: loaded, engines alive and not shutting down."""
    service: Service = request.state.service
    service.check_ready()
    return Health(status="ready")


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    service: Service = request.state.service
    with service.in_flight.outside():
        page, content_type = await service.page()
    return Response(page, headers={"Content-Type": content_type})


def query_of(sent: ClassifyRequest) -> Query:
    """Read a request."""
    its = vars(sent)  # pydantic searches the class for each field first
    long = "truncate" if its["truncate"] else its["long"]
    requirements = _requirements(
        its["variant"], its["allow_degraded"], its["min_accuracy"], its["max_cost"], long
    )
    query = Query(its["texts"], its["model"], requirements, its["deadline_ms"])
    if its["explain"]:
        query.explain = Explain(**its["explain"].model_dump())
    return query


def whole_response(
    record: RequestRecord, answer: FamilyAnswer, content: bytes | None = None
) -> tuple[bytes, bytes]:
    """Make an HTTP/1.1 response: the head without the empty line at its end, and the content."""
    if content is None:
        content = _content(answer)
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
        b"server-timing: %b\r\n" % (len(content), _server_timing(answer))
    )
    for name, value in response_headers(record):
        head += b"%b: %b\r\n" % (name, value)
    return head, content


def _content(answer: FamilyAnswer, only: Sequence[Answer] | None = None) -> bytes:
    """Make a ClassifyResponse of plain objects, which costs less than the pydantic models.

    With `only` some of the answers, make the list of their results.
    """
    labels, one = answer.labels, answer.least_score is None
    results = []
    for text in only or answer.answers:
        scores = text.scores
        score = max(scores)
        label = labels[scores.index(score)]
        result = {
            "label": label,
            "labels": [label] if one else answer.labels_of(text),
            "score": score,
            "scores": dict(zip(labels, scores, strict=True)),
            "variant": text.variant,
            "version": text.version,
            "truncated": text.truncated is not None,
            "degraded": text.degraded,
        }
        if answer.thresholds is not None:
            decisions = answer.decisions(text)
            result["decisions"] = decisions
            result["flagged"] = None if decisions is None else any(decisions.values())
        if text.truncated:
            result["truncation_side"] = text.truncated
        if text.windows:
            spans = zip(labels, text.windows.spans, strict=True)
            decided = {label: {"start": start, "end": end} for label, (start, end) in spans}
            result["windows"] = {"count": text.windows.count, "labels": decided}
        if text.explanation:
            result["explanation"] = text.explanation
        results.append(result)
    if only:
        return to_json(results)
    usage = {"texts": len(results), "tokens": answer.tokens}
    return to_json({"model": answer.family, "results": results, "usage": usage})


def results(answer: FamilyAnswer, only: Sequence[Answer]) -> bytes:
    """Make the list of the results of some of the answers."""
    return _content(answer, only)


async def content_in_turns(answer: FamilyAnswer) -> bytes:
    """Make the content of a response, a bounded part of it in a turn of the event loop."""
    results = await json_list(answer, partial(_content, answer))
    usage = {"texts": len(answer.answers), "tokens": answer.tokens}
    fields = {"model": answer.family, "results": [], "usage": usage}
    return with_list(fields, "results", results)


def _server_timing(answer: FamilyAnswer) -> bytes:
    """Make Server-Timing (W3C, in ms): total tokenization, longest wait and longest batch."""
    times_ms = answer.tokenize_s * 1e3, answer.queue_s * 1e3, answer.engine_s * 1e3
    return b"tokenize;dur=%.3f, queue;dur=%.3f, engine;dur=%.3f" % times_ms


API = Api(router, problem)
