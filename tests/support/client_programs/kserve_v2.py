"""kserve's clients: `kserve_v2.py URL GRPC_HOST:PORT MODEL`; prints what they got."""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

url, address, model = sys.argv[1:]
TEXTS = ["a good film", "awful plot", "bad"]


def request(texts, *, binary):
    tensor = InferInput("text", [len(texts)], "BYTES", data=None if binary else texts)
    if binary:
        data = np.array([text.encode() for text in texts], dtype=np.object_)
        tensor.set_data_from_numpy(data, binary_data=True)
    return InferRequest(model, [tensor], request_id="seven")


def read(response):
    outputs = {output.name: output.as_numpy() for output in response.outputs}
    labels = [each.decode() if isinstance(each, bytes) else each for each in outputs["label"]]
    return {
        "id": response.id,
        "labels": labels,
        "probabilities": outputs["probabilities"].tolist(),
    }


async def refused(call):
    try:
        await call
    except Exception as error:  # noqa: BLE001  each client has its own
        return str(error)
    return None


async def main():
    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    grpc = InferenceGRPCClient(address)
    found = {
        "ready": [await rest.is_server_ready(url), await grpc.is_server_ready()],
        "live": [await rest.is_server_live(url), await grpc.is_server_live()],
        "model_ready": [
            await rest.is_model_ready(url, model), await grpc.is_model_ready(model)
        ],
        "answers": [
            read(await rest.infer(url, request(TEXTS, binary=binary), model))
            for binary in (False, True)
        ],
        "refused": [
            await refused(rest.infer(url, request(["good", ""], binary=False), model)),
            await refused(grpc.infer(request(["good", ""], binary=True))),
        ],
    }  # fmt: skip
    found["answers"].append(read(await grpc.infer(request(TEXTS, binary=True))))
    print(json.dumps(found))


asyncio.run(main())
