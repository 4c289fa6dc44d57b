import json
import re
import socket
import time
from functools import partial

import httpx
import pytest

from serving.bundles.registry import publish
from serving.errors import StartError
from serving.settings import Settings, read_settings
from tests.support.bundles import write_bundle, write_registry
from tests.support.processes import free_port, serving
from tests.support.registries import wait_for

KEY = "operators-only"
until = partial(wait_for, seconds=20)


class Admin(httpx.Client):
    def __init__(self, port, key=KEY):
        super().__init__(
            base_url=f"http://127.0.0.1:{port}/admin",
            headers={"Authorization": f"Bearer {key}"},
            timeout=30,
        )

    def family(self, name):
        return self.get(f"/models/{name}").json()


@pytest.fixture
def registry(tmp_path):
    return write_registry(tmp_path / "registry", tmp_path)


@pytest.fixture(params=[0, 1], ids=["one process", "an HTTP process"])
def running(request, registry):
    """A server of two families, and its admin API."""
    port = free_port()
    write_bundle(registry.parent / "mood", family="mood")
    publish(registry.parent / "mood", registry)
    with (
        serving(
            registry, admin_port=port, admin_key=KEY, http_processes=request.param, scan_ms=60_000
        ) as server,
        Admin(port) as admin,
    ):
        yield server, admin


def versions(server, count=1, **more):
    body = {"texts": ["good"], "model": "tone", "variant": "tiny"} | more
    with httpx.Client(base_url=server.url, timeout=30) as client:
        answers = [client.post("/v1/classify", json=body).json() for _ in range(count)]
    return {result["version"] for answer in answers for result in answer["results"]}


def test_a_version_is_published_tried_made_live_and_rolled_back(running, registry, tmp_path):
    server, admin = running
    (first,) = admin.family("tone")["versions"]["tiny"]
    write_bundle(tmp_path / "new", scale=2.0)
    second = publish(tmp_path / "new", registry).manifest.version

    # Nothing looks for a minute: what lies in tiny/ now is served once somebody says so.
    pinned = admin.put("/models/tone/traffic", json={"tiny": {"version": first}}).json()
    assert pinned["served"]["tiny"] == {"version": first, "canary": None, "shadow": None}
    assert versions(server) == {first}
    half = {"version": first, "canary": {"version": second, "weight": 0.5}}
    assert admin.put("/models/tone/traffic", json={"tiny": half}).status_code == 200
    until(lambda: versions(server, 20) == {first, second})
    assert admin.delete("/models/tone/traffic").json()["told"] is None
    until(lambda: versions(server, 5) == {second})
    admin.put("/models/tone/traffic", json={"tiny": {"version": first}})
    until(lambda: versions(server, 5) == {first})


def test_a_family_is_unloaded_and_loaded_again(running):
    server, admin = running

    unloaded = admin.post("/models/mood/unload").json()
    until(lambda: server.classify({"texts": ["good"], "model": "mood"}).status_code == 503)
    listed = httpx.get(f"{server.url}/v1/models").json()
    loaded = admin.post("/models/mood/load").json()
    until(lambda: server.classify({"texts": ["good"], "model": "mood"}).status_code == 200)

    assert (unloaded["state"], unloaded["bytes"]) == ("unloaded", 0)
    assert listed["unloaded"] == ["mood"]
    assert [family["model"] for family in listed["models"]] == ["tone"]
    assert loaded["state"] == "served"
    until(lambda: '"unloaded","model":"mood"' in server.log())
    assert versions(server)


def test_a_look_can_be_asked_for(running, registry, tmp_path):
    server, admin = running
    write_bundle(tmp_path / "taste", family="taste")
    publish(tmp_path / "taste", registry)

    after = admin.post("/rescan").json()

    assert sorted(after["families"]) == ["mood", "taste", "tone"]
    until(lambda: server.classify({"texts": ["good"], "model": "taste"}).status_code == 200)


def test_what_the_admin_api_refuses_it_names(running):
    server, admin = running
    none = "0" * 16
    cases = [
        (admin.get("/models/none"), 404, "family"),
        (admin.post("/models/none/unload"), 404, "family"),
        (admin.put("/models/none/traffic", json={}), 404, "family"),
        (admin.get("/nothing"), 404, "path"),
        (admin.post("/models"), 405, "method"),
        (admin.put("/models/tone/traffic", content=b"{"), 415, "Content-Type"),
        (admin.put("/models/tone/traffic", json=[]), 422, "body"),
        (admin.put("/models/tone/traffic", json={"tiny": {"version": "x"}}), 422, "tiny.version"),
        (admin.put("/models/tone/traffic", json={"tiny": {"version": none}}), 422, "traffic"),
        (admin.put("/models/tone/traffic", json={"huge": {}}), 422, "traffic"),
        (
            admin.put(
                "/models/tone/traffic",
                json={"tiny": {"canary": {"version": none, "weight": 1.5}}},
            ),
            422,
            "tiny.canary.weight",
        ),
    ]

    for answer, status, field in cases:
        assert (answer.status_code, answer.json()["field"]) == (status, field), answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["request_id"] == answer.headers["X-Request-Id"] != ""
    assert admin.family("tone")["told"] is None
    assert versions(server)


def test_an_admin_request_keeps_its_id_or_gets_one(running):
    server, admin = running
    ours = {"X-Request-Id": "deploy-17"}

    answered = admin.get("/models", headers=ours)
    refused = admin.get("/models/none", headers=ours)
    made = admin.get("/models")

    assert (answered.status_code, refused.status_code) == (200, 404)
    assert answered.headers["X-Request-Id"] == refused.headers["X-Request-Id"] == "deploy-17"
    assert refused.json()["request_id"] == "deploy-17"
    assert re.fullmatch("[0-9a-f]{32}", made.headers["X-Request-Id"])
    until(lambda: '"event":"admin refused","request_id":"deploy-17"' in server.log())


def test_the_admin_api_answers_malformed_http_as_a_problem_and_forgets_who_left(running):
    server, admin = running
    address = ("127.0.0.1", admin.base_url.port)
    with socket.create_connection(address, 10) as broken:
        broken.sendall(b"GARBAGE\r\n\r\n")
        head, body = b"".join(iter(lambda: broken.recv(65_536), b"")).split(b"\r\n\r\n")
    with socket.create_connection(address, 10) as leaving:
        leaving.sendall(
            b"PUT /admin/models/tone/traffic HTTP/1.1\r\nAuthorization: Bearer operators-only\r\n"
            b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        time.sleep(0.3)
    wrong = admin.post("/models")

    problem = json.loads(body)
    assert head.startswith(b"HTTP/1.1 400 ")
    assert problem["code"] == "malformed_request"
    assert f"x-request-id: {problem['request_id']}".encode() in head
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "GET")
    assert '"event":"bug"' not in server.log()


def test_the_admin_api_wants_its_own_key_and_lies_on_its_own_port(running):
    server, admin = running
    wrong = [admin.get("/models", headers={"Authorization": given}) for given in ("", "Bearer x")]

    assert [answer.status_code for answer in wrong] == [401, 401]
    assert httpx.get(f"{server.url}/admin/models").status_code == 404
    with pytest.raises(StartError, match="SIZEWISE_ADMIN_KEY"):
        read_settings({"SIZEWISE_ADMIN_PORT": "9000"})
    assert Settings().admin_port == 0


def test_nothing_is_answered_without_the_key(running):
    _, admin = running
    url = str(admin.base_url).removesuffix("/admin/")
    for path in ("/openapi.json", "/docs", "/nowhere", "/admin/rescan"):
        assert httpx.get(url + path).status_code == 401
        assert admin.get(url + path).status_code in {404, 405}
