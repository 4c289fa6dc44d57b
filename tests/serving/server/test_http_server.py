import asyncio
import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from serving.settings import Settings
from tests.support.hostile_requests import hostile_requests
from tests.support.metric_values import total
from tests.support.processes import FRESH, serving
from tests.support.registries import wait_for

PROBLEM = "application/problem+json"


def test_texts_are_classified_in_order_and_the_answer_names_who_gave_it(server):
    response = server.classify({"texts": ["a great film", "awful plot", "bad bad good"]})

    body = response.json()
    assert response.status_code == 200
    assert [r["label"] for r in body["results"]] == ["positive", "negative", "negative"]
    assert body["model"] == "tone"
    assert body["usage"] == {"texts": 3, "tokens": 5 + 4 + 5}
    for result in body["results"]:
        assert set(result) == {
            "label", "labels", "score", "scores", "variant", "version", "truncated", "degraded",
        }  # fmt: skip
        assert result["score"] == max(result["scores"].values())
        assert sum(result["scores"].values()) == pytest.approx(1)
        assert (result["variant"], result["truncated"], result["degraded"]) == (
            "wide",
            False,
            False,
        )
    timing = response.headers["Server-Timing"]
    assert re.fullmatch(r"tokenize;dur=[\d.]+, queue;dur=[\d.]+, engine;dur=[\d.]+", timing)


def test_a_named_variant_answers_and_its_version_is_the_one_listed(server):
    listed = httpx.get(f"{server.url}/v1/models").json()["models"][0]
    versions = {v["variant"]: v["version"] for v in listed["variants"]}

    result = server.classify({"texts": ["good"], "model": "tone", "variant": "tiny"}).json()

    assert result["results"][0]["variant"] == "tiny"
    assert result["results"][0]["version"] == versions["tiny"]
    assert listed["default_variant"] == "wide"
    assert listed["variants"][0]["evaluations"]["test"]["accuracy"]["low"] == pytest.approx(0.83)
    assert {v["state"] for v in listed["variants"]} == {"ready"}


def test_a_long_text_is_refused_by_default_and_cut_when_the_client_asks(server):
    long = "good " * 100

    refused = server.classify({"texts": ["bad", long]})
    cut = server.classify({"texts": ["bad", long], "truncate": True}).json()

    assert refused.status_code == 422
    assert refused.json() | {"detail": "", "request_id": ""} == {
        "type": "about:blank", "title": "A text is too long", "status": 422, "detail": "",
        "code": "text_too_long", "request_id": "", "field": "texts[1]", "limit": 32, "value": 102,
    }  # fmt: skip
    assert [r["truncated"] for r in cut["results"]] == [False, True]


def test_every_hostile_request_is_a_4xx_that_names_its_field_and_hurts_nobody(server):
    settings = Settings()
    requests = hostile_requests(
        settings.max_body_bytes, settings.max_texts, settings.max_text_chars, max_tokens=32
    )
    assert len(requests) >= 200
    before = total(server.metrics(), "sizewise_requests_total", code="500")

    wrong = []
    with httpx.Client(timeout=30) as client:
        for each in requests:
            response = client.request(
                each.method,
                httpx.URL(server.url, raw_path=each.path.encode()),
                content=each.content,
                headers=list(each.headers),
            )
            problem = response.json()
            if (
                response.status_code != each.status
                or response.headers["Content-Type"] != PROBLEM
                or problem["field"] != each.field
                or problem["status"] != each.status
                or problem["request_id"] != response.headers["X-Request-Id"]
            ):
                wrong.append((each.name, each.status, each.field, response.status_code, problem))

    assert wrong == []
    assert total(server.metrics(), "sizewise_requests_total", code="500") == before == 0
    assert server.classify({"texts": ["good"]}).status_code == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/classify HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/classify HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /" + b"a" * 10 + b"\x00 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000,
    ],
)
def test_bytes_that_are_not_http_are_answered_with_a_problem_too(server, raw):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(raw)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert PROBLEM.encode() in head
    problem = json.loads(body)
    assert problem["code"] == "malformed_request"
    assert re.fullmatch("[0-9a-f]{32}", problem["request_id"])
    assert f"x-request-id: {problem['request_id']}" in head.decode().split("\r\n")


def test_a_head_that_does_not_end_is_given_up_in_time(server):
    host, port = server.url.removeprefix("http://").split(":")
    started = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\n")
        answer = connection.recv(65536)

    assert 5 < time.monotonic() - started < 15
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_the_request_id_is_echoed_when_it_is_sane_and_made_when_it_is_not(server):
    echoed = server.classify({"texts": ["good"]}, headers={"X-Request-Id": "abc-1.2:3"})
    made = server.classify({"texts": ["good"]}, headers={"X-Request-Id": "x" * 200})

    assert echoed.headers["X-Request-Id"] == "abc-1.2:3"
    assert re.fullmatch("[0-9a-f]{32}", made.headers["X-Request-Id"])


def test_the_docs_page_works_without_the_internet(server):
    page = httpx.get(f"{server.url}/docs").text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)

    assert len(links) >= 3
    for link in links:
        assert link.startswith("/"), f"{link} leaves this server"
        assert httpx.get(server.url + link).status_code == 200
    assert "://" not in re.sub(r"<!--.*?-->", "", page, flags=re.DOTALL)
    schema = httpx.get(f"{server.url}/openapi.json").json()
    assert "texts" in json.dumps(schema["paths"]["/v1/classify"]["post"]["requestBody"])


def test_requests_in_flight_are_counted_while_they_last(tiny_registry):
    with (
        serving(
            tiny_registry,
            program="tests.support.slow_serving",
            environ={"SLOW_BATCH_S": "0.25"},
            variants="tiny",
        ) as server,
        ThreadPoolExecutor(6) as clients,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):

        def in_flight():
            return total(client.get("/metrics").text, "sizewise_requests_in_flight")

        body = {"texts": ["good"]}
        answers = [clients.submit(client.post, "/v1/classify", json=body) for _ in range(6)]
        during = 0
        while not all(answer.done() for answer in answers):
            during = max(during, in_flight())
        codes = [answer.result().status_code for answer in answers]
        after = in_flight()

    assert codes == [200] * 6
    assert (during, after) == (6, 0)


def test_metrics_equal_what_was_sent(tiny_registry):
    with serving(tiny_registry) as server:
        texts = [["good"] * n for n in (1, 2, 5, 17, 32)] + [["a good film"]] * 20
        answers = [server.classify({"texts": t}, headers=FRESH).json() for t in texts]
        tokens = sum(answer["usage"]["tokens"] for answer in answers)
        tiny = server.classify(
            {"texts": ["bad", "good " * 99], "truncate": True, "variant": "tiny"}
        )
        for _ in range(3):
            server.classify({"texts": [""]})
        server.classify({"texts": ["good"], "deadline_ms": 1, "model": "none"})
        page = server.metrics()
        lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]

    wide = {"model": "tone", "variant": "wide"}
    sent = sum(map(len, texts))
    assert tiny.status_code == 200
    assert total(page, "sizewise_texts_total", **wide) == sent
    assert total(page, "sizewise_tokens_total", **wide) == tokens
    assert total(page, "sizewise_batch_texts_sum", **wide) == sent
    assert total(page, "sizewise_queue_duration_seconds_count", **wide) == sent
    assert total(page, "sizewise_tokenize_duration_seconds_count", **wide) == len(texts)
    padded = total(page, "sizewise_batch_tokens_sum", **wide)
    assert padded == tokens + total(page, "sizewise_padding_tokens_total", **wide)
    assert total(page, "sizewise_truncated_total") == 1
    assert total(page, "sizewise_texts_total", variant="tiny") == 2
    assert total(page, "sizewise_requests_total", endpoint="/v1/classify", code="200") == 26
    assert total(page, "sizewise_requests_total", endpoint="/v1/classify", code="422") == 3
    assert total(page, "sizewise_requests_total", endpoint="/v1/classify", code="404") == 1
    classified = [line for line in lines if line.get("path") == "/v1/classify"]
    assert len(classified) == 30
    assert sum(line["texts"] for line in classified if line["status"] == 200) == sent + 2


def test_every_answer_under_concurrent_load_belongs_to_its_own_text(server):
    words = {"good": "positive", "bad": "negative", "great film": "positive", "awful": "negative"}

    async def client(number):
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            for turn in range(15):
                chosen = [list(words)[(number + turn + i) % 4] for i in range(1 + number % 5)]
                texts = [word + " plot" * ((number + turn) % 20) for word in chosen]
                response = await http.post("/v1/classify", json={"texts": texts})
                labels = [result["label"] for result in response.json()["results"]]
                assert labels == [words[word] for word in chosen]

    async def everyone():
        await asyncio.gather(*map(client, range(16)))

    asyncio.run(everyone())


def test_an_api_key_guards_the_models_and_not_the_probes(tiny_registry):
    with serving(tiny_registry, api_key="correct-horse") as server:
        without = server.classify({"texts": ["good"]})
        wrong = server.classify({"texts": ["good"]}, headers={"Authorization": "Bearer nope"})
        right = server.classify(
            {"texts": ["good"]}, headers={"Authorization": "Bearer correct-horse"}
        )
        open_paths = [
            httpx.get(server.url + p) for p in ("/health/live", "/health/ready", "/metrics")
        ]
        assert "correct-horse" not in server.log()

    assert (without.status_code, wrong.status_code, right.status_code) == (401, 401, 200)
    assert without.json()["field"] == "Authorization"
    assert without.headers["WWW-Authenticate"] == "Bearer"
    assert [r.status_code for r in open_paths] == [200, 200, 200]


def test_a_client_that_leaves_is_recorded_and_the_others_are_answered(server):
    host, port = server.url.removeprefix("http://").split(":")
    body = json.dumps({"texts": ["good film " * 14] * 256}).encode()
    head = (
        f"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    for _ in range(5):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(head + body)

    assert server.classify({"texts": ["good"]}).status_code == 200
    wait_for(lambda: total(server.metrics(), "sizewise_queue_texts") == 0, seconds=5)
    assert total(server.metrics(), "sizewise_requests_total", code="500") == 0
