"""Texts that are too long, have no tokens or make the tokenizer fail, in every protocol."""

import json

import grpc
import httpx
import pytest

from serving.bundles.probabilities import softmax
from serving.bundles.registry import publish
from serving.protocols.open_inference.grpc_messages import message
from tests.support.grpc_calls import call, channel, request
from tests.support.odd_graphs import PADDED, write_odd_bundle
from tests.support.offline_jobs import classify, read
from tests.support.processes import free_port, serving
from tests.support.registries import wait_for
from tests.support.tokenizer_files import word_level, word_piece

# Its first words say awful, its last good.
LONG = "awful awful " + "film " * 20 + "good"
POSITIVE = {"left": softmax([-1.0, 1.0])[1], "right": softmax([4.0, -4.0])[1]}
TOKENIZERS = {
    "left": word_piece(direction="left"),
    "right": word_piece(),
    "bare": word_piece("none"),
    "unknown": word_level(unknown="<unk>"),
    "pair": word_level(direction="left", strategy="only_second"),
}
BLANKS = [" ", "\u200b", "\t\n"]


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("texts")
    for family, tokenizer in TOKENIZERS.items():
        folder = scratch / family
        inputs = (*PADDED, "token_type_ids") if family == "pair" else PADDED
        write_odd_bundle(
            folder, family=family, tokenizer=tokenizer.to_str(), pairs=family == "pair",
            inputs=inputs,
        )  # fmt: skip
        publish(folder, scratch / "registry")
    return scratch / "registry"


@pytest.fixture(
    scope="module",
    params=[("onnxruntime", "left", 0), ("openvino", "right", 0), ("onnxruntime", "left", 2)],
    ids=str,
)
def server(registry, request):
    engine, family, http_processes = request.param
    port = free_port()
    settings = {"engine": engine, "grpc_port": port, "http_processes": http_processes}
    # It is not ready as long as the only variant of `unknown` is broken, and serves the others.
    with serving(registry, default_model=family, wait_ready=False, **settings) as running:
        wait_for(lambda: serves(running))
        running.grpc_port, running.default_side = port, family
        yield running


def serves(server):
    try:
        return server.classify({"texts": ["good"]}).status_code == 200
    except httpx.TransportError:
        return False


def post(server, path, body):
    return httpx.post(f"{server.url}{path}", json=body, timeout=30)


def near(value):
    return pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_long_text_is_cut_as_its_tokenizer_says_and_the_answer_tells_where(server, side):
    body = {"texts": [LONG, "good"], "model": side, "truncate": True}

    answer = server.classify(body).json()
    cut, whole = answer["results"]

    assert cut["scores"]["positive"] == near(POSITIVE[side])
    assert (cut["truncated"], cut["truncation_side"]) == (True, side)
    assert (whole["truncated"], "truncation_side" in whole) == (False, False)
    assert answer["usage"]["tokens"] == 16 + 3


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_long_text_that_may_not_be_cut_is_refused_with_its_length(server, side):
    refusal = server.classify({"texts": ["good", LONG], "model": side})

    assert refusal.status_code == 422
    told = refusal.json()
    assert (told["code"], told["field"]) == ("text_too_long", "texts[1]")
    assert (told["value"], told["limit"]) == (25, 16)


def test_the_second_of_a_pair_is_cut_where_the_file_says_only_that(server):
    pair = ["awful " * 3, "film " * 20 + "good"]

    answer = server.classify({"texts": [pair], "model": "pair", "truncate": True})

    # The words of the second count the other way: -6 and -1.
    assert answer.json()["results"][0]["scores"]["positive"] == near(softmax([7.0, -7.0])[1])
    refused = server.classify(
        {"texts": [pair, ["awful " * 30, "good"]], "model": "pair", "truncate": True}
    )
    assert (refused.status_code, refused.json()["field"]) == (422, "texts[1]")
    assert "too short" in refused.json()["detail"]


@pytest.mark.parametrize("direction", [None, "left", "Left", "right", "Right"])
def test_tei_cuts_in_the_direction_of_the_request_or_else_the_tokenizers(server, direction):
    body = {"inputs": LONG, "truncate": True, "truncation_direction": direction}

    answer = post(server, "/predict", body)

    scores = {each["label"]: each["score"] for each in answer.json()}
    side = (direction or server.default_side).lower()
    assert scores["positive"] == near(POSITIVE[side])
    assert answer.headers["x-compute-tokens"] == "16"
    untruncated = post(server, "/predict", body | {"truncate": None})
    assert untruncated.status_code == 413


@pytest.mark.parametrize("family", ["left", "right"])
@pytest.mark.parametrize("side", [None, "left", "right"])
def test_vllm_cuts_at_the_side_of_the_request_or_else_the_tokenizers(server, family, side):
    body = {"model": family, "input": LONG, "truncate_prompt_tokens": -1, "truncation_side": side}

    (found,) = post(server, "/classify", body).json()["data"]

    assert found["probs"][1] == near(POSITIVE[side or family])


@pytest.mark.parametrize("family", ["left", "right"])
def test_other_protocols_cut_as_the_tokenizer_says(server, family):
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [LONG]}
    v2 = {"inputs": [tensor], "parameters": {"truncate": True}}
    face = {"inputs": LONG, "parameters": {"truncation": True}}

    found = post(server, f"/v2/models/{family}/infer", v2).json()["outputs"][1]["data"]
    ranked = post(server, f"/models/{family}", face).json()[0]

    assert found[1] == near(POSITIVE[family])
    assert {each["label"]: each["score"] for each in ranked}["positive"] == near(POSITIVE[family])


@pytest.mark.parametrize("text", BLANKS)
def test_a_text_that_cannot_be_read_is_named_and_fails_no_other_request(server, text):
    family = "bare"
    v2 = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["good", text]}
    asked = {
        "/v1/classify": ({"model": family, "texts": ["good", text, "bad"]}, 422, "texts[1]"),
        f"/models/{family}": ({"inputs": ["good", text]}, 422, "inputs[1]"),
        "/classify": ({"model": family, "input": ["good", text]}, 400, "input[1]"),
        f"/v2/models/{family}/infer": ({"inputs": [v2]}, 400, "text[1]"),
    }
    for path, (body, status, field) in asked.items():
        refusal = post(server, path, body)
        assert refusal.status_code == status, path
        assert field in refusal.text, path
        assert "no tokens" in refusal.text, path
    with channel(server.grpc_port) as opened, pytest.raises(grpc.RpcError) as error:
        call(opened)(request("good", text, model=family))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert server.classify({"model": family, "texts": ["good", "bad"]}).status_code == 200
    assert '"level":"error"' not in server.log()


def test_a_tokenizer_without_its_unknown_token_is_refused_with_the_reason(server):
    assert server.classify({"model": "unknown", "texts": ["good"]}).status_code == 404
    assert "Missing [UNK] token" in server.log()


def test_a_blank_that_has_special_tokens_is_answered(server):
    answer = server.classify({"model": "right", "texts": BLANKS})

    assert [each["score"] for each in answer.json()["results"]] == [0.5] * 3


@pytest.mark.parametrize("family", ["bare", "unknown"])
@pytest.mark.parametrize("engine", ["onnxruntime", "auto"])
def test_offline_a_text_that_cannot_be_read_fails_alone(registry, tmp_path, family, engine):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    failing = " " if family == "bare" else "good movie"
    rows = [{"text": text} for text in ("good film", failing, "bad", "good plot")]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))

    status, said = classify(source, output, registry, "--model", family, engine=engine)

    assert status == 0, said
    found = read(output)
    assert [row["label"] for row in found] == ["positive", None, "negative", "positive"]
    assert "no tokens" in found[1]["error"]


def test_offline_texts_are_cut_as_the_tokenizer_says(registry, tmp_path):
    for side in ("left", "right"):
        source, output = tmp_path / "in.jsonl", tmp_path / f"{side}.jsonl"
        source.write_text(json.dumps({"text": LONG}) + "\n")
        arguments = ("--model", side, "--truncate")
        status, said = classify(source, output, registry, *arguments, engine="onnxruntime")
        assert status == 0, said
        (row,) = read(output)
        assert row["truncated"]
        assert row["scores"]["positive"] == near(POSITIVE[side])


def test_v2s_metadata_has_the_labels_in_the_order_of_the_scores(server):
    wanted = ["negative", "positive"]

    found = httpx.get(f"{server.url}/v2/models/right").json()
    with channel(server.grpc_port) as opened:
        path = "/inference.GRPCInferenceService/ModelMetadata"
        described = call(opened, path, "ModelMetadataResponse")(
            message("ModelRequest")(name="right")
        )

    for output in found["outputs"]:
        assert json.loads(output["parameters"]["labels"]) == wanted
    for output in described.outputs:
        (entry,) = output.parameters
        assert (entry.key, json.loads(entry.value.string_param)) == ("labels", wanted)
    assert [list(each.shape) for each in described.outputs] == [[-1], [-1, 2]]
