"""The OpenAPI documents of all protocols: complete, consistent, and made beside the event loop."""

import asyncio
import json
import threading
import time

import httpx
import pytest
from fastapi import FastAPI

from docs.generator.http_api import admin_document, document, operations
from serving.protocols import (
    cohere_jina,
    huggingface,
    infinity_vllm,
    kserve_v1,
    moderations,
    native,
    tei,
)
from serving.protocols.open_inference import http as open_inference
from serving.protocols.openapi import describe, serve_document

PROTOCOLS = {
    "native": native.API,
    "text-embeddings-inference": tei.API,
    "Hugging Face": huggingface.API,
    "Infinity and vLLM": infinity_vllm.API,
    "OpenAI's moderations": moderations.API,
    "Cohere and Jina": cohere_jina.API,
    "KServe V1": kserve_v1.API,
    "V2": open_inference.API,
}
ERRORS = {
    "native": "Problem",
    "text-embeddings-inference": "TeiError",
    "Hugging Face": "HuggingFaceError",
    "Infinity and vLLM": "OpenAiError",
    "OpenAI's moderations": "ModerationError",
    "Cohere and Jina": "RerankError",
    "KServe V1": "HuggingFaceError",
    "V2": "HuggingFaceError",
}


def of_protocol(name):
    app = FastAPI()
    app.include_router(PROTOCOLS[name].router)
    describe(app)
    return app.openapi()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocols_errors_have_its_own_form(name):
    for path, method, operation in operations(of_protocol(name)):
        for status, response in operation["responses"].items():
            schemas = [each.get("schema", {}) for each in response["content"].values()]
            if status != "200":
                references = [each["$ref"].rpartition("/")[2] for each in schemas]
                assert ERRORS[name] in references, (method, path, status)
                assert set(references) <= {ERRORS[name], "Problem"}


@pytest.mark.parametrize("made", [document, admin_document])
def test_every_reference_of_a_document_leads_somewhere(made):
    found = made()
    text = json.dumps(found)
    for name in found["components"]["schemas"]:
        assert f'"#/$defs/{name}"' in text or name == "Problem"
    for part in text.split('"#/$defs/')[1:]:
        assert part.partition('"')[0] in found["components"]["schemas"]


@pytest.mark.parametrize("made", [document, admin_document])
def test_what_reads_a_body_describes_it(made):
    reading = {"415", "413"}
    for path, method, operation in operations(made()):
        assert (reading <= operation["responses"].keys()) == ("requestBody" in operation), path
        assert "HTTPValidationError" not in json.dumps(operation), (method, path)


def test_only_protocols_that_send_422_say_so():
    statuses = {path: each["responses"].keys() for path, _, each in operations(document())}

    assert "422" in statuses["/v1/classify"]
    assert "422" in statuses["/predict"]
    assert "422" not in statuses["/v2/models/{model}/infer"]
    assert "422" not in statuses["/v2/models/{model}"]
    assert "422" not in statuses["/classify"]


async def asked(app):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        return (await client.get("/openapi.json")).content


def test_the_document_is_made_once_and_not_by_the_event_loop():
    app, makers = FastAPI(), []
    made = app.openapi

    def openapi():
        makers.append(threading.get_ident())
        return made()

    app.openapi = openapi
    serve_document(app)
    first = asyncio.run(asked(app))
    again = asyncio.run(asked(app))

    assert json.loads(first)["openapi"].startswith("3.")
    assert first == again
    assert len(makers) == 1
    assert threading.get_ident() not in makers


async def test_requests_while_the_document_is_made_get_the_corrected_one():
    class SlowlyMade(FastAPI):
        def openapi(self):
            made = super().openapi()
            if not kept.is_set():
                kept.set()
                time.sleep(0.2)
            return made

    kept = threading.Event()

    app = SlowlyMade()
    app.include_router(native.API.router)
    describe(app)
    serve_document(app)
    first = asyncio.create_task(asked(app))
    await asyncio.to_thread(kept.wait, 30)
    found = [await asked(app), await first, await asked(app)]

    assert len(set(found)) == 1
    assert "Problem" in json.loads(found[0])["components"]["schemas"]
    assert "HTTPValidationError" not in str(found[0])
