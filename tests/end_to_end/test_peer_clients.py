"""What clients of other servers send, answered as those servers do; V2 has a file of its own."""

import json

import httpx
import numpy as np
import pytest

from serving.bundles.registry import publish
from tests.support.bundles import write_bundle, write_registry, write_tensor_bundle
from tests.support.clients import ask
from tests.support.metric_values import total
from tests.support.processes import serving

TEXTS = ["a good film", "awful plot"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The tiny family, used by requests without a model, and one of pairs and several labels."""
    scratch = tmp_path_factory.mktemp("protocols")
    registry = write_registry(scratch / "registry", scratch)
    write_bundle(scratch / "pairs", family="same", pairs=True, problem_type="multi_label")
    write_tensor_bundle(scratch / "digits")
    for name in ("pairs", "digits"):
        publish(scratch / name, registry)
    with serving(registry, default_model="tone") as running:
        yield running


def post(server, path, body, **more):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | more
    return httpx.post(server.url + path, content=content, headers=headers, timeout=30)


def native(server, texts, model="tone"):
    """For each text its labels with their scores, the highest first."""
    results = server.classify({"texts": texts, "model": model}).json()["results"]
    return [sorted(r["scores"].items(), key=lambda each: -each[1]) for r in results]


def told(answers):
    return [
        [(each["label"], pytest.approx(each["score"], abs=1e-6)) for each in a] for a in answers
    ]


@pytest.mark.parametrize(
    ("inputs", "texts", "nested"),
    [
        (TEXTS[0], TEXTS[:1], False),
        ([TEXTS[0]], TEXTS[:1], False),
        ([[TEXTS[0]]], TEXTS[:1], True),
        ([[text] for text in TEXTS], TEXTS, True),
    ],
)
def test_tei_answers_one_flat_and_a_batch_nested(server, inputs, texts, nested):
    answer = post(server, "/predict", {"inputs": inputs})

    assert answer.status_code == 200
    found = answer.json() if nested else [answer.json()]
    assert native(server, texts) == told(found)
    names = "compute-time compute-characters compute-tokens total-time tokenization-time queue-time"
    for name in f"{names} inference-time".split():
        assert answer.headers[f"x-{name}"].isdecimal()
    assert answer.headers["x-compute-type"] == "cpu"
    assert answer.headers["x-compute-characters"] == str(sum(map(len, texts)))


def test_tei_takes_two_strings_as_one_pair(tmp_path):
    write_bundle(tmp_path / "pairs", family="same", pairs=True)
    publish(tmp_path / "pairs", tmp_path / "registry")
    with serving(tmp_path / "registry") as server:
        one = post(server, "/predict", {"inputs": ["good", "bad"]}).json()
        two = post(server, "/predict", {"inputs": [["good", "bad"], ["bad", "good"]]}).json()
        expected = native(server, [["good", "bad"], ["bad", "good"]], "same")
        single = post(server, "/predict", {"inputs": "good"})

    assert [expected[0]] == told([one])
    assert expected == told(two)
    assert (single.status_code, single.json()["error_type"]) == (422, "Validation")


def test_tei_gives_raw_scores_and_cuts_when_asked(server):
    raw = post(server, "/predict", {"inputs": "good good bad", "raw_scores": True}).json()
    cut = post(server, "/predict", {"inputs": "good " * 99, "truncate": True})

    # The bag of words: 1 + 1 - 1, times the scale of `wide`.
    assert {each["label"]: each["score"] for each in raw} == {"positive": 2.5, "negative": -2.5}
    assert cut.status_code == 200


def test_tei_says_what_it_serves_and_cuts_text_into_tokens(server):
    info = httpx.get(f"{server.url}/info").json()
    tokens = post(server, "/tokenize", {"inputs": ["Good film", "bad"]}).json()
    plain = post(server, "/tokenize", {"inputs": "bad", "add_special_tokens": False}).json()
    healthy = httpx.get(f"{server.url}/health")

    assert (info["model_id"], info["model_dtype"]) == ("tone", "fp32")
    assert info["model_type"]["classifier"]["id2label"] == {"0": "negative", "1": "positive"}
    assert (info["max_input_length"], info["max_client_batch_size"]) == (32, 256)
    assert [token["text"] for token in tokens[0]] == ["[CLS]", "good", "film", "[SEP]"]
    assert tokens[0][1] == {"id": 4, "text": "good", "special": False, "start": 0, "stop": 4}
    assert [token["special"] for token in tokens[1]] == [True, False, True]
    assert [[token["text"] for token in each] for each in plain] == [["bad"]]
    assert (healthy.status_code, healthy.content) == (200, b"")


HOSTILE_TEI = [
    (b"{", 400, "Validation"),
    (b"[]", 422, "Validation"),
    ({}, 422, "Validation"),
    ({"inputs": ""}, 400, "Empty"),
    ({"inputs": [["good"], [""]]}, 400, "Empty"),
    ({"inputs": []}, 422, "Validation"),
    ({"inputs": [[]]}, 422, "Validation"),
    ({"inputs": ["a", "b", "c"]}, 422, "Validation"),
    ({"inputs": [["a"], "b"]}, 422, "Validation"),
    ({"inputs": [["a", "b", "c"]]}, 422, "Validation"),
    ({"inputs": [[1]]}, 422, "Validation"),
    ({"inputs": 7}, 422, "Validation"),
    ({"inputs": None}, 422, "Validation"),
    ({"inputs": {"text": "a"}}, 422, "Validation"),
    ({"inputs": "a", "truncate": "yes"}, 422, "Validation"),
    ({"inputs": "a", "truncation_direction": "middle"}, 422, "Validation"),
    ({"inputs": "a", "model": "tone"}, 422, "Validation"),
    ({"inputs": "good " * 99}, 413, "Validation"),
    ({"inputs": "a" * 20_001}, 413, "Validation"),
    ({"inputs": [["a"]] * 257}, 413, "Validation"),
    ({"inputs": [["a", "b"]]}, 422, "Validation"),
]


@pytest.mark.parametrize(("body", "status", "kind"), HOSTILE_TEI)
def test_what_is_wrong_is_told_as_by_tei(server, body, status, kind):
    answer = post(server, "/predict", body)

    assert (answer.status_code, answer.json()["error_type"]) == (status, kind)
    assert set(answer.json()) == {"error", "error_type"}
    assert "field: " in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 422), ({"inputs": [1]}, 422), ({"inputs": ["a"] * 257}, 413), ({"inputs": ""}, 400)],
)
def test_a_wrong_request_for_tokens_is_told_as_by_tei(server, body, status):
    answer = post(server, "/tokenize", body)

    assert answer.status_code == status
    assert "field: inputs" in answer.json()["error"]


def test_hugging_faces_client_is_answered_as_by_its_pipelines(server):
    found = ask("huggingface", f"{server.url}/models/tone", "good good bad")

    (expected,) = native(server, ["good good bad"])
    usual, softmax, sigmoid, none, first = found["answers"]
    assert [expected] == told([usual]) == told([softmax])
    logits = {"positive": 2.5, "negative": -2.5}
    assert {each["label"]: each["score"] for each in none} == logits
    for each in sigmoid:
        assert np.isclose(each["score"], 1 / (1 + np.exp(-logits[each["label"]])))
    assert first == usual[:1]
    assert found["refused"][0] == 422
    assert "inputs" in found["refused"][1]
    assert found["unknown"][0] == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        ({}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [["a"]]}, "inputs[0]"),
        ({"inputs": {"text": "a", "more": "b"}}, "inputs"),
        ({"inputs": {"text_pair": "b"}}, "inputs"),
        ({"inputs": "a", "parameters": {"top_k": 0}}, "parameters.top_k"),
        ({"inputs": "a", "parameters": {"function_to_apply": "relu"}}, "parameters.function"),
        ({"inputs": "a", "parameters": {"temperature": 1}}, "parameters.temperature"),
        ({"inputs": "a" * 20_001}, "inputs[0]"),
        ({"inputs": ["a"] * 257}, "inputs"),
        ({"inputs": "good " * 99}, "inputs[0]"),
        ({"inputs": {"text": "a", "text_pair": "b"}}, "inputs[0]"),
    ],
)
def test_what_hugging_faces_client_gets_wrong_is_named(server, body, field):
    answer = post(server, "/models/tone", body)

    assert 400 <= answer.status_code < 500
    assert list(answer.json()) == ["error"]
    assert f"field: {field}" in answer.json()["error"]


def test_pairs_and_several_labels_go_by_the_hugging_face_form_too(server):
    pairs = [{"text": "good", "text_pair": "bad"}, {"text": "awful", "text_pair": "great"}]

    answer = post(server, "/models/same", {"inputs": pairs}).json()

    expected = native(server, [["good", "bad"], ["awful", "great"]], "same")
    assert expected == told(answer)


def test_infinitys_client_is_answered_as_by_infinity(server):
    found = ask("infinity", server.url, "tone", *TEXTS)

    answers = found["answers"]
    assert native(server, TEXTS) == told(answers["data"])
    assert (answers["object"], answers["model"]) == ("classify", "tone")
    assert answers["usage"] == {"prompt_tokens": 9, "total_tokens": 9}
    assert found["unnamed"] == answers["data"]
    assert {each["score"] for each in found["raw"]["data"][0]} == {2.5, -2.5}
    status, refused = found["refused"]
    assert (status, refused["error"]["param"], refused["error"]["code"]) == (400, "input[1]", 400)
    assert found["unknown"][0] == 404


def test_who_sends_what_vllm_takes_is_answered_as_by_vllm(server):
    one = post(server, "/classify", {"model": "tone", "input": TEXTS[0]}).json()
    two = post(server, "/classify", {"input": TEXTS, "use_activation": False}).json()
    cut = post(server, "/classify", {"input": "good " * 99, "truncate_prompt_tokens": -1})

    ((label, score), other) = native(server, TEXTS[:1])[0]
    assert one["data"] == [
        {
            "index": 0,
            "label": label,
            "probs": [pytest.approx(other[1]), pytest.approx(score)],
            "num_classes": 2,
        }
    ]
    assert (one["object"], one["model"], one["usage"]["prompt_tokens"]) == ("list", "tone", 5)
    assert [each["probs"] for each in two["data"]] == [[-2.5, 2.5], [5.0, -5.0]]
    assert cut.status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, "body"),
        ({}, 400, "input"),
        ({"input": []}, 400, "input"),
        ({"input": ""}, 400, "input[0]"),
        ({"input": [1, 2]}, 400, "input[0]"),
        ({"input": [[1, 2]]}, 400, "input[0]"),
        ({"input": "a", "model": "none"}, 404, "model"),
        ({"input": "a", "model": 7}, 400, "model"),
        ({"input": "a", "temperature": 1}, 400, "temperature"),
        ({"input": "a", "truncate_prompt_tokens": 10}, 400, "truncate_prompt_tokens"),
        ({"input": "a", "truncation_side": "middle"}, 400, "truncation_side"),
        ({"input": "a", "raw_scores": 1}, 400, "raw_scores"),
        ({"input": "a" * 20_001}, 400, "input[0]"),
        ({"input": ["a"] * 257}, 413, "input"),
        ({"input": "good " * 99}, 400, "input[0]"),
        ({"input": "a", "model": "same"}, 400, "input[0]"),
        ({"input": "a", "model": "digits"}, 400, "input[0]"),
    ],
)
def test_a_wrong_request_to_classify_is_told_as_by_openai(server, body, status, field):
    answer = post(server, "/classify", body)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, status, field)
    assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("path", ["/predict", "/tokenize", "/models/tone", "/classify"])
def test_keys_media_types_and_methods_hold_for_every_protocol(server, tiny_registry, path):
    body = {"inputs": "good", "input": "good"}
    plain = httpx.post(server.url + path, content=b"{}", headers={"Content-Type": "text/plain"})
    got = httpx.get(server.url + path)
    with serving(tiny_registry, api_key="correct-horse") as guarded:
        without = post(guarded, path, body)

    assert (plain.status_code, got.status_code, without.status_code) == (415, 405, 401)
    assert "error" in plain.json()
    assert "error" in without.json()
    assert without.headers["WWW-Authenticate"] == "Bearer"
    assert total(server.metrics(), "sizewise_requests_total", code="500") == 0
