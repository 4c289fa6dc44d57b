"""tritonclient with rows of numbers: `rows.py http|grpc HOST:PORT MODEL FILE.npy`."""

import importlib
import json
import sys

import numpy as np

transport, address, model, path = sys.argv[1:]
triton = importlib.import_module(f"tritonclient.{transport}")
client = triton.InferenceServerClient(address)
rows = np.load(path)
(expected,) = (
    client.get_model_metadata(model)["inputs"]
    if transport == "http"
    else client.get_model_metadata(model, as_json=True)["inputs"]
)
labels, probabilities = [], []
for start in range(0, len(rows), 100):
    part = rows[start : start + 100]
    tensor = triton.InferInput(expected["name"], part.shape, expected["datatype"])
    tensor.set_data_from_numpy(part)
    answer = client.infer(model, [tensor])
    labels += [each.decode() for each in answer.as_numpy("label")]
    probabilities += answer.as_numpy("probabilities").tolist()
print(json.dumps({"labels": labels, "probabilities": probabilities}))
