import json
import threading

import pytest

from serving.protocols import dataplane
from tests.support.in_process import client_of

V2 = "/v2/models/tone/infer"


def tensor(**fields):
    return {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]} | fields]}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/classify", {"texts": [1] * 100_000}, 422),
        ("/v1/classify", {"texts": ["a"] * 100_000}, 413),
        ("/v1/classify", {"texts": ["a"] * 20_000}, 413),
        ("/v1/classify", {"texts": [[]] * 100_000}, 422),
        ("/v1/classify", {"texts": ["a"], **dict.fromkeys(map(str, range(50_000)), 1)}, 422),
        ("/predict", {"inputs": [["a"]] * 10_000}, 413),
        ("/tokenize", {"inputs": ["a"] * 50_000}, 413),
        ("/classify", {"input": [[1] * 50_000]}, 400),
        ("/models/tone", {"inputs": "a", "options": {str(i): [] for i in range(50_000)}}, 422),
        (V2, tensor(shape=[1] * 100_000), 400),
        (V2, tensor(data=["a"] * 50_000, shape=[50_000]), 413),
        (V2, tensor(data=[1] * 100_000), 400),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_large_body_is_read_off_the_loop_and_refused_in_few_words(
    tiny_registry, monkeypatch, path, body, status
):
    threads = []
    parse = dataplane.parse_body

    def noted(*given):
        threads.append(threading.current_thread())
        return parse(*given)

    monkeypatch.setattr(dataplane, "parse_body", noted)
    async with client_of(tiny_registry) as client:
        answer = await client.post(path, json=body)

    assert threading.current_thread() not in threads
    assert answer.status_code == status
    assert len(answer.content) < 2000


async def test_an_output_is_requested_once(tiny_registry):
    async with client_of(tiny_registry) as client:
        answer = await client.post(V2, json=tensor() | {"outputs": [{"name": "label"}] * 2})

    assert answer.status_code == 400
    assert "request each output once" in answer.json()["error"]


async def test_the_limit_of_texts_is_the_servers_however_many_are_sent(tiny_registry):
    async with client_of(tiny_registry) as client:
        answer = await client.post(
            "/v1/classify",
            content=json.dumps({"texts": ["a"] * 70_000}),
            headers={"Content-Type": "application/json"},
        )

    assert (answer.json()["code"], answer.json()["limit"]) == ("too_many_texts", 256)
