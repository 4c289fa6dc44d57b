"""Requests that only some families can answer take the way of all others: record, room, leaving."""

import json
import socket
import threading
from dataclasses import replace

import httpx
import pytest

from serving.bundles.registry import publish
from serving.errors import BodyTooLarge
from serving.protocols.family_queries import pairs_of
from serving.settings import Settings
from tests.support.bundles import write_registry
from tests.support.in_process import connected, running
from tests.support.null_serving import NullEngine
from tests.support.odd_graphs import write_reranker
from tests.support.registries import wait_for

BODY = {"model": "passages", "query": "good", "documents": ["film", "plot"]}


class HeldEngine(NullEngine):
    """Runs nothing while `free` is not set."""

    free = threading.Event()

    def run(self, batch):
        assert self.free.wait(20)
        return super().run(batch)


@pytest.fixture
def registry(tmp_path):
    write_reranker(tmp_path / "passages")
    publish(tmp_path / "passages", tmp_path / "registry")
    return write_registry(tmp_path / "registry", tmp_path)


def requests_in(capsys):
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if line["event"] == "request"]


async def test_each_request_has_one_record_with_the_family_that_it_named(registry, capsys):
    async with running(registry) as app:
        deployments = app.service.deployments
        app.service.deployments = replace(deployments, unloaded=frozenset({"gone"}))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            for model in ("passages", "tone", "gone", "none"):
                await client.post("/v2/rerank", json=BODY | {"model": model})
        await app.request_log.close()

    found = requests_in(capsys)
    assert [(each["path"], each["status"], each["model"]) for each in found] == [
        ("/v2/rerank", 200, "passages"),
        ("/v2/rerank", 422, "tone"),
        ("/v2/rerank", 503, "gone"),
        ("/v2/rerank", 404, ""),
    ]
    assert found[0]["texts"] == 2


def post(connection, path, body):
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)


def test_a_client_that_leaves_while_its_documents_wait_frees_their_place(registry, capsys):
    HeldEngine.free.set()
    with connected(registry, HeldEngine) as (app, _, first):
        batcher = app.service.runtime._batcher
        HeldEngine.free.clear()
        post(first, "/v1/rerank", BODY)
        wait_for(lambda: batcher.requests_in_flight == 1)
        with socket.create_connection(first.getpeername(), timeout=10) as leaving:
            post(leaving, "/v1/rerank", BODY | {"query": "bad"})
            wait_for(lambda: batcher.requests_in_flight == 2)
        wait_for(lambda: batcher.requests_in_flight == app.service.in_flight.requests == 1)
        HeldEngine.free.set()
        assert first.recv(1000).startswith(b"HTTP/1.1 200")

    assert [each["status"] for each in requests_in(capsys)] == [499, 200]


def test_pairs_may_have_as_many_characters_together_as_a_body_may_have_bytes():
    settings = Settings(max_body_bytes=1024)

    assert pairs_of("a" * 3, ["b"] * 256, settings, field="query", of="texts")[0] == ("aaa", "b")
    with pytest.raises(BodyTooLarge, match="query is read with each of texts") as refused:
        pairs_of("a" * 3, ["b"] * 255 + ["bc"], settings, field="query", of="texts")
    assert (refused.value.field, refused.value.limit) == ("texts", 1024)
