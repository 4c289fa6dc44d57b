"""Reranking, as the clients of Cohere, Jina and text-embeddings-inference send it."""

import json

import httpx
import pytest

from serving.bundles.probabilities import sigmoid
from serving.bundles.registry import publish
from tests.support.api_keys import write_callers
from tests.support.bundles import write_bundle, write_tensor_bundle
from tests.support.clients import ask
from tests.support.metric_values import total
from tests.support.odd_graphs import write_odd_bundle, write_reranker
from tests.support.processes import serving

QUERY = "great"
TEXTS = ["great film", "bad plot", "awful", "good"]
# The words of the second text of a pair count the other way.
LOGITS = [2 - 2, 2 + 1, 2 + 2, 2 - 1]
ORDER = [2, 1, 3, 0]
PATHS = ("/v1/rerank", "/v2/rerank", "/rerank")


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    """(server, the headers of its callers): a reranker, and families that are none."""
    scratch = tmp_path_factory.mktemp("search")
    write_reranker(scratch / "passages")
    write_reranker(scratch / "similar", "similar", problem_type="regression")
    write_reranker(scratch / "same", "same", labels=("no", "yes"))
    write_odd_bundle(scratch / "attack", family="attack", labels=("injection",))
    write_bundle(scratch / "tone")
    write_tensor_bundle(scratch / "digits")
    for family in ("passages", "similar", "same", "attack", "tone", "digits"):
        publish(scratch / family, scratch / "registry")
    headers = write_callers(scratch / "callers", search={}, nightly={"texts_per_s": 0.001})
    settings = {"callers": scratch / "callers", "default_model": "passages"}
    with serving(scratch / "registry", **settings) as running:
        yield running, headers
        assert total(running.metrics(), "sizewise_requests_total", code="500") == 0


@pytest.fixture
def post(search):
    server, headers = search

    def sent(path, body):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = headers["search"] | {"Content-Type": "application/json"}
        return httpx.post(server.url + path, content=content, headers=given, timeout=30)

    return sent


def test_coheres_clients_get_documents_in_order_and_refusals_as_their_exceptions(search):
    server, headers = search
    keys = [each["Authorization"].removeprefix("Bearer ") for each in headers.values()]

    found = ask("rerank", server.url, *keys, "passages", QUERY, *TEXTS)

    scores = sigmoid([LOGITS[index] for index in ORDER])
    expected = [[index, pytest.approx(score), TEXTS[index]]
                for index, score in zip(ORDER, scores, strict=True)]  # fmt: skip
    bare = [[*each[:2], None] for each in expected]
    assert found["answers"] == [expected, bare]
    assert found["top"] == [expected[:1], bare[:1]]
    assert found["objects"] == expected
    assert found["without"] == bare
    assert [each[0][0] for each in found["cut"]] == [0, 0]
    for refused in found["refused"].values():
        later = refused["beyond the limit"][-1]
        assert int(later) > 0
        assert {name: (each[0], each[1], each[3]) for name, each in refused.items()} == {
            "key": ("UnauthorizedError", 401, None),
            "model": ("NotFoundError", 404, None),
            "family": ("UnprocessableEntityError", 422, None),
            "empty": ("UnprocessableEntityError", 422, None),
            "many": ("ApiError", 413, None),
            "beyond the limit": ("TooManyRequestsError", 429, later),
        }
        assert "tone reads no pairs of texts: reranking needs" in refused["family"][2]
        assert "documents[1]" in refused["empty"][2]


def test_jinas_clients_find_their_fields_in_the_same_answer(post):
    body = {"model": "passages", "query": QUERY, "documents": TEXTS, "top_n": 2}

    found = post("/v1/rerank", body).json()
    refused = post("/v1/rerank", body | {"query": ""})

    assert (found["model"], found["object"]) == ("passages", "list")
    assert found["usage"] == {"total_tokens": 4 * 4 + 6}
    assert found["results"] == [
        {"index": index, "relevance_score": pytest.approx(sigmoid([LOGITS[index]])[0])}
        | {"document": {"text": TEXTS[index]}}
        for index in ORDER[:2]
    ]
    assert "field: query" in refused.json()["detail"]


def test_tei_answers_every_text_and_its_scores_raw_if_asked(post):
    body = {"query": QUERY, "texts": TEXTS}

    usual = post("/rerank", body)
    raw = post("/rerank", body | {"raw_scores": True, "return_text": True}).json()
    cut = post("/rerank", {"query": QUERY, "texts": ["good " * 99], "truncate": True})

    assert usual.json() == [
        {"index": index, "score": pytest.approx(sigmoid([LOGITS[index]])[0])} for index in ORDER
    ]
    assert raw == [
        {"index": index, "score": pytest.approx(LOGITS[index]), "text": TEXTS[index]}
        for index in ORDER
    ]
    assert usual.headers["x-compute-characters"] == str(sum(map(len, TEXTS)) + 4 * len(QUERY))
    assert cut.status_code == 200


def test_a_regressions_relevance_stays_between_0_and_1(post):
    body = {"model": "similar", "query": QUERY, "documents": TEXTS}

    results = post("/v2/rerank", body).json()["results"]

    assert [each["index"] for each in results] == ORDER
    assert results[0]["relevance_score"] == pytest.approx(sigmoid([4.0])[0])


def test_texts_that_are_equal_keep_their_order(post):
    results = post("/v2/rerank", {"query": "good", "documents": ["film", "bad", "film"]}).json()

    assert [each["index"] for each in results["results"]] == [1, 0, 2]


def sent(path, **fields):
    """A request in the words of this path, with these fields of Cohere's."""
    names = {"documents": "texts"} if path == "/rerank" else {}
    body = {"query": QUERY, "documents": TEXTS} | fields
    return {names.get(name, name): value for name, value in body.items() if value is not ...}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("fields", "status", "field"),
    [
        ({"query": ...}, 422, "query"),
        ({"query": None}, 422, "query"),
        ({"query": 7}, 422, "query"),
        ({"query": ["a"]}, 422, "query"),
        ({"query": ""}, {422, 400}, "query"),
        ({"query": "a" * 20_001}, {422, 413}, "query"),
        ({"documents": ...}, 422, "documents"),
        ({"documents": None}, 422, "documents"),
        ({"documents": "a"}, 422, "documents"),
        ({"documents": []}, 422, "documents"),
        ({"documents": [None]}, 422, "documents[0]"),
        ({"documents": ["a", float("nan")]}, 422, "documents[1]"),
        ({"documents": [["a", "b"]]}, 422, "documents[0]"),
        ({"documents": [{"title": "a"}]}, 422, "documents[0]"),
        ({"documents": [1] * 20_000}, 422, "documents[0]"),
        ({"documents": ["a", ""]}, {422, 400}, "documents[1]"),
        ({"documents": ["a" * 20_001]}, {422, 413}, "documents[0]"),
        ({"documents": ["a"] * 257}, 413, "documents"),
        ({"documents": ["a"] * 20_000}, 413, "documents"),
        ({"query": "a" * 5_000, "documents": ["a"] * 256}, 413, "documents"),
        ({"temperature": 1}, 422, "temperature"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_named_in_every_form_of_reranking(post, path, fields, status, field):
    answer = post(path, sent(path, **fields))

    told = answer.json()
    said = told["error"] if path == "/rerank" else told["detail"]
    if path == "/rerank":
        field = field.replace("documents", "texts")
        assert set(told) == {"error", "error_type"}
    else:
        assert told["message"] == said
    assert answer.status_code in (status if isinstance(status, set) else {status})
    assert f"field: {field}" in said


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"documents": [{"text": 1}]}, "documents[0]"),
        ({"documents": [{"text": "a", "n": 1}]}, "documents[0]"),
        ({"model": 7}, "model"),
        ({"top_n": 0}, "top_n"),
        ({"top_n": 1.5}, "top_n"),
        ({"top_n": True}, "top_n"),
        ({"max_tokens_per_doc": 8}, "max_tokens_per_doc"),
        ({"max_tokens_per_doc": "8"}, "max_tokens_per_doc"),
        ({"model": "same"}, "model"),
        ({"model": "attack"}, "model"),
        ({"model": "digits"}, "model"),
        ({"return_documents": "yes"}, "return_documents"),
        ({"rank_fields": ["title"]}, "rank_fields"),
        ({"documents": ["good " * 99], "truncation": False}, "documents[0]"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cohere_and_jina_do_not_take_is_named(post, fields, field):
    answer = post("/v1/rerank", sent("/v1/rerank", **fields))

    assert answer.status_code == 422
    assert f"field: {field}" in answer.json()["detail"]


@pytest.mark.parametrize("path", PATHS)
def test_what_is_no_json_is_refused(post, path):
    for body in (b"{", b"\xff", b'{"query": "\\ud800"}'):
        assert post(path, body).status_code == 400
