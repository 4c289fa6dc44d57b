import json
import struct

import httpx
import numpy as np
import pytest

from serving.bundles.registry import publish
from tests.support.bundles import write_bundle, write_registry, write_tensor_bundle
from tests.support.clients import ask
from tests.support.processes import free_port, serving

WANTED = {
    "unknown model": "model",
    "unknown version": "variant",
    "unknown input": "inputs",
    "unknown output": "outputs[0].name",
    "wrong datatype": "text.datatype",
    "wrong shape": "text.shape",
    "empty text": "text[1]",
    "too many": "text",
    "too long": "text[1]",
    "a sequence": "parameters.sequence_",
    "too little time": "deadline_ms",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The tiny family, one of pairs and one of tensors; each batch takes at least 10 ms."""
    scratch = tmp_path_factory.mktemp("v2")
    registry = write_registry(scratch / "registry", scratch)
    write_bundle(scratch / "pairs", family="same", pairs=True)
    write_tensor_bundle(scratch / "digits")
    for name in ("pairs", "digits"):
        publish(scratch / name, registry)
    slow = {"program": "tests.support.slow_serving", "environ": {"SLOW_BATCH_S": "0.01"}}
    with serving(registry, grpc_port=free_port(), **slow) as running:
        yield running


def grpc_address(server):
    port = next(line for line in server.log().splitlines() if '"grpc"' in line)
    return f"127.0.0.1:{json.loads(port)['port']}"


def infer(server, body, model="tone", **more):
    return httpx.post(f"{server.url}/v2/models/{model}/infer", json=body, timeout=30, **more)


def texts(*given):
    return {"name": "text", "shape": [len(given)], "datatype": "BYTES", "data": list(given)}


STATUSES = {
    "http": {"400", "404", "413", "504"},
    "grpc": {
        f"StatusCode.{name}" for name in ("INVALID_ARGUMENT", "NOT_FOUND", "DEADLINE_EXCEEDED")
    },
}


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_tritons_client_is_answered_as_natively(server, transport):
    http = server.url.removeprefix("http://")
    found = ask("triton", transport, http if transport == "http" else grpc_address(server), "tone")

    body = {"texts": ["a good film", "awful plot", "bad"], "model": "tone"}
    native = server.classify(body).json()["results"]
    assert found["labels"] == [result["label"] for result in native]
    scores = [list(result["scores"].values()) for result in native]
    assert np.allclose(found["probabilities"], scores, atol=1e-6)
    assert (found["id"], found["version"], found["tiny"]) == ("seven", "wide", "tiny")
    assert (found["live"], found["ready"], found["model_ready"], found["none_ready"]) == (
        True, True, True, False,
    )  # fmt: skip
    assert found.get("json", found["labels"]) == found["labels"]
    assert [each.split(":")[1:] for each in found["classes"][:2]] == [
        ["1", "positive"], ["0", "negative"],
    ]  # fmt: skip
    assert found["metadata"]["name"] == "tone"
    assert found["metadata"]["versions"] == ["tiny", "wide"]
    described = [
        (each["name"], each["datatype"], [int(size) for size in each["shape"]])
        for each in found["metadata"]["inputs"] + found["metadata"]["outputs"]
    ]
    assert described == [
        ("text", "BYTES", [-1]), ("label", "BYTES", [-1]), ("probabilities", "FP32", [-1, 2]),
    ]  # fmt: skip
    if transport == "http":
        assert {each["name"] for each in found["index"]} == {"tone", "same", "digits"}
    for case, field in WANTED.items():
        status, message = found["refused"][case]
        assert f"field: {field}" in message, case
        assert status in STATUSES[transport], case


def test_pairs_go_in_as_two_inputs(server):
    first, second = texts("good", "awful"), texts("bad", "great") | {"name": "text_pair"}

    answer = infer(server, {"inputs": [second, first]}, "same").json()
    missing = infer(server, {"inputs": [first]}, "same")
    uneven = infer(server, {"inputs": [first, texts("bad") | {"name": "text_pair"}]}, "same")

    native = server.classify({"texts": [["good", "bad"], ["awful", "great"]], "model": "same"})
    labels = [result["label"] for result in native.json()["results"]]
    assert answer["outputs"][0]["data"] == labels
    assert (missing.status_code, uneven.status_code) == (400, 400)
    assert "field: inputs" in missing.json()["error"]


@pytest.mark.parametrize("binary", [False, True])
def test_rows_of_tensors_are_answered(server, binary):
    rows = np.array([[3, 1, 0], [0, 2, 1], [1, 0, 5]], dtype=np.float32)
    part = {"name": "x", "shape": [3, 3], "datatype": "FP32"}
    if binary:
        head = json.dumps(
            {"inputs": [part | {"parameters": {"binary_data_size": rows.nbytes}}]}
        ).encode()
        answer = httpx.post(
            f"{server.url}/v2/models/digits/infer",
            content=head + rows.tobytes(),
            headers={"Inference-Header-Content-Length": str(len(head))},
        )
    else:
        answer = infer(server, {"inputs": [part | {"data": rows.tolist()}]}, "digits")

    # The logits are x0 - x1, x1 - x2, x2 - x0.
    logits = rows - np.roll(rows, -1, axis=1)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    label, probabilities = answer.json()["outputs"]
    assert label["data"] == ["zero", "one", "two"]
    assert np.allclose(np.reshape(probabilities["data"], (3, 3)), expected, atol=1e-5)


X = {"name": "x", "shape": [1, 3], "datatype": "FP32"}
HOSTILE = [
    # (model, body, status, what the message holds)
    ("tone", b"{", 400, "field: body"),
    ("tone", b"[]", 400, "field: body"),
    ("tone", b"{}", 400, "field: inputs"),
    ("tone", {"inputs": []}, 400, "field: inputs"),
    ("tone", {"inputs": "text"}, 400, "field: inputs"),
    ("tone", {"inputs": [texts("a")], "more": 1}, 400, "field: more"),
    ("tone", {"inputs": [texts("a")], "model_name": "same"}, 400, "field: model_name"),
    ("tone", {"inputs": [texts("a")] * 2}, 400, "field: inputs"),
    ("tone", {"inputs": [texts("a") | {"shape": []}]}, 400, "field: text.shape"),
    ("tone", {"inputs": [texts("a") | {"shape": [0]}]}, 400, "field: text.shape"),
    ("tone", {"inputs": [texts("a") | {"shape": [-1]}]}, 400, "field: text.shape"),
    ("tone", {"inputs": [texts("a") | {"shape": [2]}]}, 400, "field: text.data"),
    ("tone", {"inputs": [texts("a") | {"shape": [10**12]}]}, 400, "field: text.data"),
    ("tone", {"inputs": [texts("a") | {"shape": ["1"]}]}, 400, "field: inputs[0].shape[0]"),
    ("tone", {"inputs": [texts(1)]}, 400, "field: inputs[0].data[0]"),
    ("tone", {"inputs": [texts(None)]}, 400, "field: inputs[0].data[0]"),
    ("tone", {"inputs": [texts(["a"], "b")]}, 400, "field: inputs[0].data[0]"),
    ("tone", {"inputs": [texts("a") | {"data": None}]}, 400, "field: inputs[0].data"),
    ("tone", {"inputs": [texts("a") | {"parameters": {"binary_data_size": 1}}]}, 400, "data"),
    ("tone", {"inputs": [texts("a") | {"parameters": {"shared_memory_region": "x"}}]}, 400, "shar"),
    ("tone", {"inputs": [texts("a")], "parameters": {"truncate": 1}}, 400, "parameters.truncate"),
    ("tone", {"inputs": [texts("a")], "parameters": {"deadline_ms": 1.5}}, 400, "deadline_ms"),
    ("tone", {"inputs": [texts("a")], "parameters": {"deadline_ms": 10**9}}, 400, "deadline_ms"),
    ("tone", {"inputs": [texts("a")], "parameters": {"timeout": -1}}, 400, "parameters.timeout"),
    ("tone", {"inputs": [texts("a")], "parameters": {"temperature": 2}}, 400, "temperature"),
    ("tone", {"inputs": [texts("a")], "outputs": [{"name": "x"}]}, 400, "outputs[0].name"),
    ("tone", {"inputs": [texts("a")],
              "outputs": [{"name": "label", "parameters": {"classification": 1}}]},
     400, "outputs[0].parameters.classification"),
    ("tone", {"inputs": [texts("a")],
              "outputs": [{"name": "probabilities", "parameters": {"classification": "1"}}]},
     400, "outputs[0].parameters.classification"),
    ("tone", {"inputs": [X | {"name": "text", "data": [1, 2, 3]}]}, 400, "text.datatype"),
    ("tone", {"inputs": [texts(*["a"] * 257)]}, 413, "limit: 256"),
    ("digits", {"inputs": [texts("a")]}, 400, "field: inputs"),
    ("digits", {"inputs": [X | {"data": [1, 2]}]}, 400, "field: x.data"),
    ("digits", {"inputs": [X | {"shape": [10**4299, 4]}]}, 400, "shape"),
    ("digits", {"inputs": [X | {"data": [1, 2, "3"]}]}, 400, "x.data[2]"),
    ("digits", {"inputs": [X | {"data": [1, 2, True]}]}, 400, "x.data[2]"),
    ("digits", {"inputs": [X | {"data": [1, 2, None]}]}, 400, "x.data[2]"),
    ("digits", {"inputs": [X | {"data": [1, 2, 1e39]}]}, 400, "finite"),
    ("digits", {"inputs": [X | {"data": [1, 2, 10**400]}]}, 400, "x.data"),
    ("digits", {"inputs": [X | {"data": [1, 2, 3], "shape": [3]}]}, 400, "x.shape"),
    ("digits", {"inputs": [X | {"data": [1, 2, 3], "shape": [1, 3, 1]}]}, 400, "x.shape"),
    ("digits", {"inputs": [X | {"data": [1, 2, 3], "datatype": "FP64"}]}, 400, "x.datatype"),
    ("digits", {"inputs": [X | {"data": [1, 2, 3], "datatype": "INT128"}]}, 400, "x.datatype"),
    ("none", {"inputs": [texts("a")]}, 404, "field: model"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "body", "status", "said"), HOSTILE)
def test_what_is_wrong_is_named_in_the_protocols_own_form(server, model, body, status, said):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    answer = httpx.post(
        f"{server.url}/v2/models/{model}/infer",
        content=content,
        headers={"Content-Type": "application/json"},
    )

    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert said in answer.json()["error"]


BINARY = {"name": "text", "shape": [1], "datatype": "BYTES"}


@pytest.mark.parametrize(
    ("size", "data", "length", "said"),
    [
        (6, struct.pack("<I", 2) + b"ab", "x", "Inference-Header-Content-Length"),
        (6, struct.pack("<I", 2) + b"ab", "99999", "Inference-Header-Content-Length"),
        (6, struct.pack("<I", 2) + b"ab", "9" * 5000, "Inference-Header-Content-Length"),
        (7, struct.pack("<I", 2) + b"ab", None, "binary_data_size"),
        (-1, b"", None, "binary_data_size"),
        ("6", struct.pack("<I", 2) + b"ab", None, "binary_data_size"),
        (6, struct.pack("<I", 9) + b"ab", None, "within its last element"),
        (3, b"abc", None, "within its last element"),
        (6, struct.pack("<I", 2) + b"\xff\xfe", None, "UTF-8"),
        (6, struct.pack("<I", 2) + b"abcd", None, "longer than the inputs"),
    ],
)
def test_wrong_binary_data_is_named(server, size, data, length, said):
    head = json.dumps({"inputs": [BINARY | {"parameters": {"binary_data_size": size}}]}).encode()

    answer = httpx.post(
        f"{server.url}/v2/models/tone/infer",
        content=head + data,
        headers={"Inference-Header-Content-Length": length or str(len(head))},
    )

    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_a_row_whose_answer_is_not_finite_fails_alone(server):
    great = [3e38, -3e38, 0.0]
    rows = [{"inputs": [X | {"data": data}]} for data in ([1, 2, 3], great, [3, 2, 1])]

    answers = [infer(server, row, "digits") for row in rows]

    assert [answer.status_code for answer in answers] == [200, 500, 200]
    assert "non-finite" in answers[1].json()["error"]


def test_the_api_key_and_the_health_of_v2(tiny_registry):
    with serving(tiny_registry, api_key="correct-horse") as server:
        body = {"inputs": [texts("good")]}
        codes = [
            infer(server, body, "tone").status_code,
            infer(
                server, body, "tone", headers={"Authorization": "Bearer correct-horse"}
            ).status_code,
            httpx.get(f"{server.url}/v2/models/tone").status_code,
            httpx.get(f"{server.url}/v2/health/ready").status_code,
            httpx.get(f"{server.url}/v2/health/live").status_code,
            httpx.get(f"{server.url}/v2").status_code,
            httpx.get(f"{server.url}/v2/models/tone/infer").status_code,
        ]
        page = server.metrics()

    assert codes == [401, 200, 401, 200, 200, 200, 405]
    assert 'endpoint="/v2/models/{model}/infer"' in page


def test_kserves_clients_are_answered_as_natively(server):
    found = ask("kserve_v2", server.url, grpc_address(server), "tone")

    body = {"texts": ["a good film", "awful plot", "bad"], "model": "tone"}
    native = server.classify(body).json()["results"]
    assert len(found["answers"]) == 3
    for answer in found["answers"]:
        assert answer["id"] == "seven"
        assert answer["labels"] == [result["label"] for result in native]
        scores = [list(result["scores"].values()) for result in native]
        assert np.allclose(np.reshape(answer["probabilities"], (3, 2)), scores, atol=1e-6)
    for asked in ("ready", "live", "model_ready"):
        assert found[asked] == [True, True], asked
    for said in found["refused"]:
        assert "field: text[1]" in said
