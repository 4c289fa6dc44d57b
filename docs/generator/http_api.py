"""The HTTP API as tables, from the server's own OpenAPI documents."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from fastapi import FastAPI

from docs.generator.markdown import code, table
from docs.generator.schema_tables import Tables
from serving.protocols.admin import create_admin
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
    "Cascade": "cascade.md",
    "Estimate": "manifest.md#estimate",
    "Evaluation": "manifest.md#evaluation",
    "Paired": "manifest.md#paired",
    "Policy": "policy.md",
    "TensorInput": "manifest.md#tensorinput",
    "VariantTraffic": "traffic.md#varianttraffic",
}

Document = Mapping[str, Any]


def document() -> Document:
    """The OpenAPI document of all protocols over HTTP."""
    app = FastAPI()
    for api in APIS:
        app.include_router(api.router)
    return _with_definitions(app.openapi())


def admin_document() -> Document:
    """The admin API's."""
    nothing = cast("Any", None)  # a document says what the endpoints take, and asks nobody
    return _with_definitions(create_admin(Settings(), nothing, nothing).api.openapi())


def endpoints() -> str:
    """A table of every endpoint of every protocol."""
    rows = [
        (code(f"{method.upper()} {path}"), _summary(said), "no" if path in NEED_NO_KEY else "yes")
        for path, method, said in operations(document())
    ]
    return table(("endpoint", "what it does", "needs a key"), rows)


def native() -> str:
    """What `/v1/classify` takes, and the objects that `/v1` answers with."""
    found = document()
    tables = Tables(found["components"]["schemas"], level=3, elsewhere=ELSEWHERE)
    request = tables.described(_json(found["paths"]["/v1/classify"]["post"]["requestBody"]))
    answers = [
        _json(said["responses"]["200"])
        for path, _, said in operations(found)
        if path.startswith("/v1/")
    ]
    objects = tables.inside(*answers, {"$ref": "#/$defs/Problem"})
    return f"### Request of `POST /v1/classify`\n\n{request}\n\n{objects}"


def admin() -> str:
    """The admin API: its endpoints and their objects."""
    found = admin_document()
    rows = [
        (code(f"{method.upper()} {path}"), _summary(said))
        for path, method, said in operations(found)
    ]
    answers = [_json(said["responses"]["200"]) for _, _, said in operations(found)]
    objects = Tables(found["components"]["schemas"], level=3, elsewhere=ELSEWHERE).inside(*answers)
    return f"{table(('endpoint', 'what it does'), rows)}\n\n{objects}"


def _with_definitions(found: Document) -> Document:
    """The same with references as JSON schema has them outside OpenAPI."""
    text = json.dumps(found).replace("#/components/schemas/", "#/$defs/")
    return cast("Document", json.loads(text))


def operations(found: Document) -> Iterator[tuple[str, str, Document]]:
    """Path, method and what is said of it, for every endpoint."""
    for path, methods in found["paths"].items():
        for method, said in methods.items():
            yield path, method, said


def _summary(said: Document) -> str:
    text: str = said.get("description", said["summary"])
    return text.partition("\n\n")[0]


def _json(said: Document) -> Document:
    schema: Document = said["content"]["application/json"]["schema"]
    return schema
