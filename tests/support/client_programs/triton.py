"""tritonclient over HTTP or gRPC: `triton.py http|grpc HOST:PORT MODEL`; prints what it got."""

import importlib
import json
import sys

import numpy as np
from google.protobuf import json_format

transport, address, model = sys.argv[1:]
triton = importlib.import_module(f"tritonclient.{transport}")
client = triton.InferenceServerClient(address)
TEXTS = ["a good film", "awful plot", "bad"]


def strings(array):
    return [each.decode() if isinstance(each, bytes) else str(each) for each in array.ravel()]


def plain(value):
    if transport == "http":
        return value
    return json_format.MessageToDict(value, preserving_proto_field_name=True)


def text_input(texts, name="text", shape=None, **how):
    tensor = triton.InferInput(name, shape or [len(texts)], "BYTES")
    data = np.array([text.encode() for text in texts], dtype=np.object_).reshape(tensor.shape())
    tensor.set_data_from_numpy(data, **how)
    return tensor


def infer(inputs, name=model, **more):
    return client.infer(name, inputs, **more)


def refused(call):
    try:
        call()
    except triton.InferenceServerException as error:
        return [error.status(), error.message()]
    return None


found = {
    "live": client.is_server_live(),
    "ready": client.is_server_ready(),
    "model_ready": client.is_model_ready(model),
    "none_ready": client.is_model_ready("none") if transport == "grpc" else False,
    "server": plain(client.get_server_metadata()),
    "metadata": plain(client.get_model_metadata(model)),
}
first = infer([text_input(TEXTS)], request_id="seven")
response = plain(first.get_response())
found["labels"] = strings(first.as_numpy("label"))
found["probabilities"] = first.as_numpy("probabilities").tolist()
found["id"] = response["id"]
found["version"] = response["model_version"]
tiny = infer(
    [text_input(TEXTS, shape=[3, 1])],
    model_version="tiny",
    outputs=[triton.InferRequestedOutput("probabilities", class_count=2)],
    parameters={"allow_degraded": False},
    timeout=5_000_000,
    priority=3,
)
found["classes"] = strings(tiny.as_numpy("probabilities"))
found["tiny"] = plain(tiny.get_response())["model_version"]
found["cut"] = strings(
    infer([text_input(["good " * 99])], parameters={"truncate": True}).as_numpy("label")
)
if transport == "http":
    as_json = infer(
        [text_input(TEXTS, binary_data=False)],
        outputs=[triton.InferRequestedOutput("label", binary_data=False)],
    )
    found["json"] = strings(as_json.as_numpy("label"))
    found["index"] = client.get_model_repository_index()
ones = triton.InferInput("text", [1], "FP32")
ones.set_data_from_numpy(np.ones(1, dtype=np.float32))
found["refused"] = {
    "unknown model": refused(lambda: infer([text_input(TEXTS)], "none")),
    "unknown version": refused(lambda: infer([text_input(TEXTS)], model_version="9")),
    "unknown input": refused(lambda: infer([text_input(TEXTS, "texts")])),
    "unknown output": refused(
        lambda: infer([text_input(TEXTS)], outputs=[triton.InferRequestedOutput("logits")])
    ),
    "wrong datatype": refused(lambda: infer([ones])),
    "wrong shape": refused(lambda: infer([text_input(["a"] * 4, shape=[2, 2])])),
    "empty text": refused(lambda: infer([text_input(["good", ""])])),
    "too many": refused(lambda: infer([text_input(["good"] * 257)])),
    "too long": refused(lambda: infer([text_input(["good", "good " * 99])])),
    "a sequence": refused(lambda: infer([text_input(TEXTS)], sequence_id=3)),
    "too little time": refused(lambda: infer([text_input(["good"] * 200)], timeout=1)),
}
print(json.dumps(found))
