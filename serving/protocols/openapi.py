"""The OpenAPI document: what FastAPI cannot say of endpoints that read their own bodies."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.routing import Route

from serving.background import short_work
from serving.protocols.native_schemas import Problem
from serving.protocols.problem import PROBLEM_TYPE
from serving.protocols.request_body import JSON_TYPE
from serving.runtime.shared import Shared

_REF = "#/components/schemas/{model}"
_FASTAPIS_OWN = "HTTPValidationError"
# What a connection is refused with, before the protocol of a request is known.
_OF_CONNECTIONS = ("400", "429")

READING = (400, 401, 404, 405, 429, 500, 503)
"""Statuses of endpoints that tell what is served."""
CLASSIFYING = (400, 401, 404, 405, 408, 413, 415, 422, 429, 500, 503, 504)
"""Statuses of endpoints that read a body."""


def refusals(
    model: type[BaseModel], statuses: Sequence[int], media_type: str = JSON_TYPE
) -> dict[int | str, dict[str, Any]]:
    """Describe a protocol's errors, as a route's `responses`."""
    content: dict[str, Any] = {} if media_type == JSON_TYPE else {"content": {media_type: {}}}
    return {status: {"model": model, **content} for status in statuses}


def request_body(model: type[BaseModel], *media_types: str) -> dict[str, Any]:
    """Describe the body that a route reads itself, as its `openapi_extra`."""
    schema = model.model_json_schema(ref_template=_REF)
    content = {media_type: {"schema": schema} for media_type in (JSON_TYPE, *media_types)}
    return {"requestBody": {"required": True, "content": content}}


def describe(app: FastAPI) -> None:
    """Make the document of an application say what its endpoints do."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        before, document = app.openapi_schema, made()
        if document is not before:
            _correct(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation does


def serve_document(app: FastAPI) -> None:
    """Make the document in one thread: it takes longer than others should wait for the loop."""

    @cache
    def content() -> bytes:
        return to_json(app.openapi())

    # FastAPI keeps the document before it is corrected.
    made = Shared(lambda: short_work(content))

    async def answer(_request: Request) -> Response:
        return Response(await made(), media_type=JSON_TYPE)

    path = app.openapi_url
    assert path is not None
    routes = app.router.routes
    routes[:] = [each for each in routes if getattr(each, "path", "") != path]
    routes.append(Route(path, answer, include_in_schema=False))


def _correct(document: dict[str, Any]) -> None:
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema(ref_template=_REF)
    for operation in _operations(document):
        for body in operation.get("requestBody", {}).get("content", {}).values():
            schemas.update(body["schema"].pop("$defs", {}))
        responses = operation["responses"]
        if _FASTAPIS_OWN in str(responses.get("422")):
            del responses["422"]
        for status, response in responses.items():
            content: dict[str, Any] = response.setdefault("content", {})
            if PROBLEM_TYPE in content:
                content[PROBLEM_TYPE] = content.pop(JSON_TYPE)
            elif status in _OF_CONNECTIONS:
                content[PROBLEM_TYPE] = {"schema": {"$ref": _REF.format(model="Problem")}}
    for name in (_FASTAPIS_OWN, "ValidationError"):
        schemas.pop(name, None)


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()
