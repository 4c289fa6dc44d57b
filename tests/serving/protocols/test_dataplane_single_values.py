"""What one label, and a regression, answer in every protocol and offline, as transformers would."""

import json

import httpx
import pytest

from serving.bundles.probabilities import sigmoid, softmax
from serving.bundles.registry import publish
from tests.support.grpc_calls import call, channel, request
from tests.support.odd_graphs import write_odd_bundle
from tests.support.offline_jobs import classify, read
from tests.support.processes import free_port, serving

TEXT = "good film"  # every weight in it sums to 1
LOGITS = {"reranker": [1.0], "tagger": [1.0], "stars": [1.0], "ratings": [-1.0, 0.25, 1.0]}
LABELS = {name: ["LABEL_0", "LABEL_1", "LABEL_2"][: len(row)] for name, row in LOGITS.items()}
KINDS = {
    "reranker": "single_label",
    "tagger": "multi_label",
    "stars": "regression",
    "ratings": "regression",
}
SCORES = {
    name: row if KINDS[name] == "regression" else sigmoid(row) for name, row in LOGITS.items()
}
FAMILIES = sorted(KINDS)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("values")
    for family, kind in KINDS.items():
        folder = scratch / family
        labels = tuple(LABELS[family])
        write_odd_bundle(folder, family=family, labels=labels, problem_type=kind)
        publish(folder, scratch / "registry")
    return scratch / "registry"


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def server(registry, request):
    port = free_port()
    settings = {"engine": request.param, "grpc_port": port, "default_model": "stars"}
    with serving(registry, **settings) as running:
        running.grpc_port = port
        yield running


def ranked(family, scores):
    pairs = sorted(zip(scores, LABELS[family], strict=True), reverse=True)
    return [{"label": label, "score": pytest.approx(score, abs=1e-4)} for score, label in pairs]


def post(server, path, body):
    return httpx.post(f"{server.url}{path}", json=body, timeout=30).raise_for_status().json()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_native_answer_has_the_score_and_the_labels_that_apply(server, family):
    (result,) = server.classify({"model": family, "texts": [TEXT]}).json()["results"]
    labels, scores = LABELS[family], SCORES[family]

    assert list(result["scores"]) == labels
    assert list(result["scores"].values()) == pytest.approx(scores, abs=1e-4)
    assert result["label"] == labels[-1]
    assert result["labels"] == labels
    assert result["score"] == pytest.approx(scores[-1], abs=1e-4)


def test_a_single_label_below_one_half_does_not_apply_and_a_low_value_stays_one(server):
    answers = {
        family: server.classify({"model": family, "texts": ["awful bad"]}).json()["results"][0]
        for family in ("reranker", "tagger", "stars")
    }

    assert answers["reranker"]["labels"] == answers["tagger"]["labels"] == []
    assert answers["reranker"]["score"] == pytest.approx(sigmoid([-3.0])[0], abs=1e-4)
    assert answers["stars"]["labels"] == ["LABEL_0"]
    assert answers["stars"]["score"] == pytest.approx(-3.0, abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_hugging_faces_client_gets_each_function_that_it_asks_for(server, family):
    functions = {
        None: SCORES[family],
        "none": LOGITS[family],
        "sigmoid": sigmoid(LOGITS[family]),
        "softmax": softmax(LOGITS[family]),
    }
    for function, scores in functions.items():
        parameters = {"function_to_apply": function}
        body = {"inputs": TEXT, "parameters": parameters}

        assert post(server, f"/models/{family}", body) == [ranked(family, scores)], function


@pytest.mark.parametrize("family", FAMILIES)
def test_infinity_and_vllm_answer_the_score_or_the_raw_value(server, family):
    body = {"model": family, "input": [TEXT]}

    for raw, scores in ((False, SCORES[family]), (True, LOGITS[family])):
        infinity = post(server, "/classify", body | {"raw_scores": raw})
        vllm = post(server, "/classify", body | {"use_activation": not raw})
        assert infinity["data"] == [ranked(family, scores)]
        assert vllm["data"][0]["probs"] == pytest.approx(scores, abs=1e-4)
        assert vllm["data"][0]["label"] == LABELS[family][-1]


def test_tei_answers_a_regression_by_its_value(server):
    for raw in (False, True):
        body = {"inputs": TEXT, "raw_scores": raw}
        assert post(server, "/predict", body) == ranked("stars", LOGITS["stars"])


def test_tei_answers_one_label_by_its_sigmoid(registry):
    with serving(registry, default_model="reranker", variants="v") as server:
        assert post(server, "/predict", {"inputs": TEXT}) == ranked("reranker", sigmoid([1.0]))
        raw = post(server, "/predict", {"inputs": TEXT, "raw_scores": True})
    assert raw == ranked("reranker", [1.0])


@pytest.mark.parametrize("family", FAMILIES)
def test_v2_answers_the_same_over_http_and_grpc(server, family):
    labels, scores = LABELS[family], pytest.approx(SCORES[family], abs=1e-4)
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [TEXT]}
    label, values = post(server, f"/v2/models/{family}/infer", {"inputs": [tensor]})["outputs"]
    with channel(server.grpc_port) as opened:
        answer = call(opened)(request(TEXT, model=family))

    assert (label["data"], values["data"]) == ([labels[-1]], scores)
    assert list(answer.outputs[1].contents.fp32_contents) == scores


@pytest.mark.parametrize("family", FAMILIES)
def test_an_offline_job_answers_what_the_server_does(registry, tmp_path, family):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in (TEXT, "awful bad")))

    status, said = classify(source, output, registry, "--model", family, engine="onnxruntime")

    assert status == 0, said
    first, second = read(output)
    assert first["labels"] == LABELS[family]
    assert list(first["scores"].values()) == pytest.approx(SCORES[family], abs=1e-4)
    assert second["labels"] == (LABELS[family] if KINDS[family] == "regression" else [])
