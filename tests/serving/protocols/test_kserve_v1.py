"""KServe's protocol V1, as its own client speaks it, and as nobody should."""

import json

import httpx
import pytest

from serving.bundles.registry import publish
from tests.support.api_keys import write_callers
from tests.support.bundles import write_bundle, write_registry, write_tensor_bundle
from tests.support.clients import ask
from tests.support.metric_values import total
from tests.support.processes import serving

TEXTS = ["a good film", "awful plot", "bad"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """(server, the headers of its callers)"""
    scratch = tmp_path_factory.mktemp("models")
    registry = write_registry(scratch / "registry", scratch)
    write_bundle(scratch / "pairs", family="same", pairs=True, problem_type="multi_label")
    write_tensor_bundle(scratch / "digits")
    for family in ("pairs", "digits"):
        publish(scratch / family, registry)
    headers = write_callers(scratch / "callers", search={}, nightly={"texts_per_s": 0.001})
    with serving(registry, callers=scratch / "callers") as running:
        yield running, headers
        assert total(running.metrics(), "sizewise_requests_total", code="500") == 0


@pytest.fixture
def request_to(models):
    server, headers = models

    def sent(path, method="POST", **more):
        given = headers["search"] | {"Content-Type": "application/json"}
        return httpx.request(method, server.url + path, headers=given, timeout=30, **more)

    return sent


def native(models, texts, model="tone"):
    server, headers = models
    body = {"texts": texts, "model": model}
    return server.classify(body, headers=headers["search"]).json()["results"]


def test_kserves_client_of_v1_gets_the_native_results_and_is_told_what_is_wrong(models):
    server, headers = models
    keys = [each["Authorization"].removeprefix("Bearer ") for each in headers.values()]

    found = ask("kserve_v1", server.url, *keys, "tone")

    assert found["ready"] is True
    expected = {"predictions": native(models, TEXTS)}
    assert found["texts"] == found["objects"] == found["lists"] == expected
    assert found["pairs"] == [{"predictions": native(models, [["good", "bad"]], "same")}] * 2
    assert found["cut"]["predictions"][0]["truncated"] is True
    refused = found["refused"]
    for name, status in {"key": 401, "model": 404, "empty": 400, "beyond the limit": 429}.items():
        assert f"'{status} " in refused[name]
    assert "field: instances[1]" in refused["empty"]


def test_readiness_is_of_the_model_that_is_named(request_to):
    ready = request_to("/v1/models/tone", "GET")
    unknown = request_to("/v1/models/none", "GET")
    listed = request_to("/v1/models", "GET")
    wrong = request_to("/v1/models/tone:predict", "GET")
    posted = request_to("/v1/models/tone", json={})

    assert ready.json() == {"name": "tone", "ready": True}
    assert (unknown.status_code, list(unknown.json())) == (404, ["error"])
    assert {each["model"] for each in listed.json()["models"]} == {"tone", "same", "digits"}
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "POST")
    assert (posted.status_code, posted.headers["Allow"]) == (405, "GET")


def test_a_request_has_its_own_route_in_the_metrics(models, request_to):
    route = "/v1/models/{model}:predict"
    before = total(models[0].metrics(), "sizewise_requests_total", endpoint=route, code="200")
    assert request_to("/v1/models/tone:predict", json={"instances": ["good"]}).status_code == 200

    after = total(models[0].metrics(), "sizewise_requests_total", endpoint=route, code="200")
    assert after == before + 1


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, "body"),
        (b'{"instances": ["\xff"]}', 400, "body"),
        (b"[]", 400, "body"),
        ({}, 400, "instances"),
        ({"instances": None}, 400, "instances"),
        ({"instances": []}, 400, "instances"),
        ({"instances": "good"}, 400, "instances"),
        ({"instances": {"text": "good"}}, 400, "instances"),
        ({"instances": [None]}, 400, "instances[0]"),
        ({"instances": ["a", float("nan")]}, 400, "instances[1]"),
        ({"instances": [1] * 100_000}, 400, "instances[0]"),
        ({"instances": [[]]}, 400, "instances[0]"),
        ({"instances": [["a", "b", "c"]]}, 400, "instances[0]"),
        ({"instances": [["a", 1]]}, 400, "instances[0]"),
        ({"instances": [{}]}, 400, "instances[0]"),
        ({"instances": [{"text": "a", "more": "b"}]}, 400, "instances[0]"),
        ({"instances": [{"text": "a", "text_pair": None}]}, 400, "instances[0]"),
        ({"instances": [""]}, 400, "instances[0]"),
        ({"instances": [["a", "b"]]}, 400, "instances[0]"),
        ({"instances": ["a" * 20_001]}, 400, "instances[0]"),
        ({"instances": ["good " * 99]}, 400, "instances[0]"),
        ({"instances": ["a"] * 257}, 413, "instances"),
        ({"instances": ["a"], "signature_name": "x"}, 400, "signature_name"),
        ({"instances": ["a"], "truncate": 1}, 400, "truncate"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_named(request_to, body, status, field):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    answer = request_to("/v1/models/tone:predict", content=content)

    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert f"field: {field}" in answer.json()["error"]


@pytest.mark.parametrize(("model", "status"), [("same", 400), ("digits", 400), ("none", 404)])
def test_a_text_for_a_model_that_reads_none_is_refused(request_to, model, status):
    answer = request_to(f"/v1/models/{model}:predict", json={"instances": ["good"]})

    assert answer.status_code == status
