from serving.protocols.token_lists import TOKENS_PER_TEXT
from tests.support.api_keys import write_callers
from tests.support.in_process import client_of

LONG = "good film " * 1500


async def test_the_tokens_of_a_large_request_are_those_of_its_texts(tiny_registry):
    texts = [LONG, "bad", "good " * 2000, LONG, "good"]
    async with client_of(tiny_registry) as client:
        answer = await client.post("/tokenize", json={"inputs": texts})
        alone = [(await client.post("/tokenize", json={"inputs": text})).json() for text in texts]

    assert answer.status_code == 200
    assert "content-length" not in answer.headers
    assert answer.json() == [tokens for each in alone for tokens in each]


async def test_the_tokens_of_one_request_are_bounded(tiny_registry):
    async with client_of(tiny_registry, max_texts=4) as client:
        answer = await client.post("/tokenize", json={"inputs": [LONG] * 4})
        fewer = await client.post("/tokenize", json={"inputs": "good " * (4 * TOKENS_PER_TEXT - 2)})

    assert answer.status_code == 413
    assert f"limit: {4 * TOKENS_PER_TEXT}" in answer.json()["error"]
    assert fewer.status_code == 200


async def test_texts_to_tokenize_count_towards_the_callers_limit(tiny_registry, tmp_path):
    headers = write_callers(tmp_path / "callers.json", batch={"texts_per_s": 2})["batch"]
    async with client_of(tiny_registry, callers=tmp_path / "callers.json") as client:
        body = {"inputs": ["good"] * 200}
        statuses = [
            (await client.post("/tokenize", json=body, headers=headers)).status_code
            for _ in range(2)
        ]

    assert statuses == [200, 429]
