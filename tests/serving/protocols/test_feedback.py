"""Feedback on answers of real servers, in one process and over several."""

import time

import httpx
import pytest

from tests.support.api_keys import write_callers
from tests.support.ext_proc_streams import chat, chunk, head, told
from tests.support.grpc_calls import call, channel, request
from tests.support.in_process import calls_of
from tests.support.processes import free_port, serving

RIGHT = 'sizewise_feedback_total{model="tone",variant="wide",verdict="right"}'
WRONG = 'sizewise_feedback_total{model="tone",variant="wide",verdict="wrong"}'
UNSEEN = "0" * 32


def value(server, series):
    lines = [line for line in server.metrics().splitlines() if line.startswith(series)]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


def give(server, request_id, labels, index=0, **options):
    body = {"request_id": request_id, "index": index, "labels": labels}
    return httpx.post(f"{server.url}/v1/feedback", json=body, timeout=30, **options)


def post(server, path, body, **headers):
    response = httpx.post(f"{server.url}{path}", json=body, timeout=30, headers=headers)
    assert response.status_code == 200, response.text
    return response.headers["x-request-id"]


@pytest.fixture(scope="module", params=[0, 2], ids=["one process", "two HTTP processes"])
def server(request, guards):
    port = free_port()
    with serving(
        guards, http_processes=request.param, feedback_texts=50, grpc_port=port
    ) as running:
        running.grpc_port = port
        yield running


def test_feedback_is_taken_and_counted_whichever_process_it_meets(server):
    before = value(server, RIGHT), value(server, WRONG)
    ids = [post(server, "/v1/classify", {"texts": ["good", "bad"]}) for _ in range(10)]

    right = [give(server, each, ["positive"]) for each in ids]
    wrong = [give(server, each, ["positive"], index=1) for each in ids]
    again = [give(server, each, ["positive"]) for each in ids]

    assert {each.status_code for each in (*right, *wrong, *again)} == {200}
    assert {each.json()["right"] for each in right} == {True}
    assert wrong[0].json()["predicted"] == ["negative"]
    assert {(each.json()["variant"], each.json()["right"]) for each in wrong} == {("wide", False)}
    assert (value(server, RIGHT), value(server, WRONG)) == (before[0] + 10, before[1] + 10)


def test_every_protocol_s_answers_can_get_feedback(server):
    inputs = [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good"]}]
    ids = [
        post(server, "/predict", {"inputs": "good"}),
        post(server, "/models/tone", {"inputs": "good"}),
        post(server, "/classify", {"model": "tone", "input": ["good"]}),
        post(server, "/v1/moderations", {"model": "tone", "input": "good"}),
        post(server, "/v1/models/tone:predict", {"instances": ["good"]}),
        post(server, "/v2/models/tone/infer", {"inputs": inputs}),
    ]
    with channel(server.grpc_port) as opened:
        call(opened)(request("good"), metadata=[("x-request-id", "grpc-1")], timeout=30)
    told(server.grpc_port, [head(**{"x-request-id": "envoy-1"}), chunk(chat("good"))])
    ids += ["grpc-1", "envoy-1"]

    assert [give(server, each, ["positive"]).status_code for each in ids] == [200] * len(ids)


def test_of_two_answers_with_one_id_the_later_one_counts(server):
    post(server, "/v1/classify", {"texts": ["good"]}, **{"X-Request-Id": "mine"})
    post(server, "/v1/classify", {"texts": ["bad"]}, **{"X-Request-Id": "mine"})

    assert give(server, "mine", ["negative"]).json()["right"] is True


def test_only_so_many_texts_are_remembered_and_a_request_can_be_forgotten(server):
    first = post(server, "/v1/classify", {"texts": ["good"]})
    deleted = post(server, "/v1/classify", {"texts": ["good"]})
    answer = httpx.delete(f"{server.url}/v1/feedback/{deleted}", timeout=30)
    last = post(server, "/v1/classify", {"texts": ["bad"] * 50})

    assert answer.status_code == 204
    assert [give(server, each, ["negative"]).status_code for each in (first, deleted, last)] == [
        404, 404, 200,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"request_id": UNSEEN, "labels": ["positive"]}, 404, "request_id"),
        ({"request_id": "two words", "labels": ["positive"]}, 422, "request_id"),
        ({"request_id": "known", "labels": ["fine"]}, 422, "labels[0]"),
        ({"request_id": "known", "labels": "positive"}, 422, "labels"),
        ({"request_id": "known", "labels": []}, 422, "labels"),
        ({"request_id": "known", "labels": ["positive"] * 2000}, 422, "labels"),
        ({"request_id": "known", "labels": ["positive"], "index": 1}, 422, "index"),
        ({"request_id": "known", "labels": ["positive"], "index": -1}, 422, "index"),
        ({"request_id": "known", "labels": ["positive"], "label": 1}, 422, "label"),
        ({"request_id": "known", "labels": ["x" * 40_000]}, 413, "body"),
        ({"labels": ["positive"]}, 422, "request_id"),
    ],
)
def test_wrong_feedback_is_refused_with_its_field(server, body, status, field):
    post(server, "/v1/classify", {"texts": ["good"]}, **{"X-Request-Id": "known"})
    response = httpx.post(f"{server.url}/v1/feedback", json=body, timeout=30)

    assert response.status_code == status
    assert response.json()["field"] == field


def test_who_deletes_must_name_an_id(server):
    response = httpx.delete(f"{server.url}/v1/feedback/two%20words", timeout=30)

    assert (response.status_code, response.json()["field"]) == (422, "request_id")


def test_a_caller_gives_feedback_on_its_own_requests_alone(tiny_registry, tmp_path):
    headers = write_callers(tmp_path / "callers.json", search={}, nightly={})
    with serving(tiny_registry, callers=tmp_path / "callers.json", feedback_texts=50) as server:
        known = post(server, "/v1/classify", {"texts": ["good"]}, **headers["search"])
        own = give(server, known, ["positive"], headers=headers["search"])
        other = give(server, known, ["positive"], headers=headers["nightly"])
        nobody = give(server, known, ["positive"])
        unseen = give(server, UNSEEN, ["positive"], headers=headers["nightly"])
        deleted = httpx.delete(
            f"{server.url}/v1/feedback/{known}", headers=headers["nightly"], timeout=30
        )
        still = give(server, known, ["negative"], headers=headers["search"])

    assert [own.status_code, other.status_code, nobody.status_code] == [200, 404, 401]
    assert (other.json()["code"], other.json()["detail"]) == (
        unseen.json()["code"], unseen.json()["detail"],
    )  # fmt: skip
    assert (deleted.status_code, still.status_code) == (204, 200)


def test_feedback_is_refused_after_its_time_and_where_it_is_off(tiny_registry):
    with serving(tiny_registry, feedback_texts=50, feedback_s=1) as server:
        known = post(server, "/v1/classify", {"texts": ["good"]})
        early = give(server, known, ["positive"])
        time.sleep(1.2)
        late = give(server, known, ["positive"])
    with serving(tiny_registry) as server:
        off = give(server, UNSEEN, ["positive"])

    assert (early.status_code, late.status_code) == (200, 404)
    assert "within 1 s" in late.json()["detail"]
    assert off.status_code == 404
    assert "SIZEWISE_FEEDBACK_TEXTS" in off.json()["detail"]


def test_noting_an_answer_takes_few_calls_however_many_texts_it_has(tiny_registry, monkeypatch):
    off, on = {"brownout_ms": 0}, {"brownout_ms": 0, "feedback_texts": 1000}
    totals = []
    for given in (off, on):
        monkeypatch.setattr("tests.support.in_process.SETTINGS", given)
        counts = [calls_of(tiny_registry, texts) for texts in (1, 32)]
        assert [each["answered_request"] for each in counts] == [int(given is on)] * 2
        totals.append([each.total() for each in counts])

    assert [more - less for less, more in zip(*totals, strict=True)] <= [6, 6]
