"""The HTTP API as tables, from the server's own OpenAPI documents."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from fastapi import FastAPI
from fastapi.routing import APIRoute

from docs.generator.markdown import code, table
from docs.generator.schema_tables import Tables
from serving.protocols import feedback
from serving.protocols import native as native_protocol
from serving.protocols.admin import create_admin
from serving.protocols.openapi import describe
from serving.server.app import APIS
from serving.settings import Settings

NEED_NO_KEY = frozenset(
    {
        *("/health", "/health/live", "/health/ready", "/metrics", "/ping"),
        *("/v2", "/v2/health/live", "/v2/health/ready"),
    }
)
"""Paths that answer without an API key; a test asks a server whether it is so."""

# Objects of the registry's files, which have pages of their own.
ELSEWHERE = {
    "Agreement": "manifest.md#agreement",
    "Cascade": "cascade.md",
    "Decisions": "decisions.md",
    "Estimate": "manifest.md#estimate",
    "Evaluation": "manifest.md#evaluation",
    "Floor": "policy.md#floor",
    "Paired": "manifest.md#paired",
    "Policy": "policy.md",
    "StressDrop": "manifest.md#stressdrop",
    "TensorInput": "manifest.md#tensorinput",
    "VariantTraffic": "traffic.md#varianttraffic",
    "Windows": "windows.md",
}

_PATHS = {
    route.path
    for api in (native_protocol.API, feedback.API)
    for route in api.router.routes
    if isinstance(route, APIRoute)
}
_NATIVE = {path for path in _PATHS if path.startswith("/v1/")}
Document = Mapping[str, Any]


def document() -> Document:
    """Return the OpenAPI document of all protocols over HTTP."""
    app = FastAPI()
    for api in APIS:
        app.include_router(api.router)
    describe(app)
    return _with_definitions(app.openapi())


def admin_document() -> Document:
    """Return the OpenAPI document of the admin API."""
    nothing = cast("Any", None)  # a document only needs the endpoints' signatures
    return _with_definitions(create_admin(Settings(), nothing, nothing).api.openapi())


def endpoints() -> str:
    """Return a table of every endpoint of every protocol."""
    rows = [
        (
            code(f"{method.upper()} {path}"),
            _summary(operation),
            "no" if path in NEED_NO_KEY else "yes",
        )
        for path, method, operation in operations(document())
    ]
    return table(("endpoint", "what it does", "needs a key"), rows)


def native() -> str:
    """Describe the requests of `/v1` and the objects of its responses."""
    found = document()
    tables = Tables(found["components"]["schemas"], level=3, elsewhere=ELSEWHERE)
    asked = {
        path: _json(found["paths"][path]["post"]["requestBody"])
        for path in ("/v1/classify", "/v1/feedback")
    }
    answers = [
        _json(operation["responses"]["200"])
        for path, _, operation in operations(found)
        if path in _NATIVE and "200" in operation["responses"]
    ]
    objects = tables.inside(*asked.values(), *answers, {"$ref": "#/$defs/Problem"})
    requests = "\n\n".join(
        f"### Request of `POST {path}`\n\n{tables.described(body)}" for path, body in asked.items()
    )
    return f"{requests}\n\n{objects}"


def admin() -> str:
    """Return the admin API: its endpoints and their objects."""
    found = admin_document()
    rows = [
        (code(f"{method.upper()} {path}"), _summary(operation))
        for path, method, operation in operations(found)
    ]
    answers = [_json(operation["responses"]["200"]) for _, _, operation in operations(found)]
    objects = Tables(found["components"]["schemas"], level=3, elsewhere=ELSEWHERE).inside(*answers)
    return f"{table(('endpoint', 'what it does'), rows)}\n\n{objects}"


def _with_definitions(found: Document) -> Document:
    """Rewrite references to the form of JSON schema outside OpenAPI."""
    text = json.dumps(found).replace("#/components/schemas/", "#/$defs/")
    return cast("Document", json.loads(text))


def operations(found: Document) -> Iterator[tuple[str, str, Document]]:
    """Yield the path, the method and the description of every endpoint."""
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _summary(operation: Document) -> str:
    text: str = operation.get("description", operation["summary"])
    return text.partition("\n\n")[0]


def _json(body: Document) -> Document:
    schema: Document = body["content"]["application/json"]["schema"]
    return schema
