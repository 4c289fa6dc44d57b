"""What must be served before a server is ready, and what is reported of a running version."""

import httpx
import pytest

from serving.bundles.registry import publish
from tests.support.bundles import write_bundle, write_registry
from tests.support.processes import serving, wait_until_ready
from tests.support.registries import counted, models, tiny, wait_for

SETTINGS = {"scan_ms": 100, "engine": "onnxruntime"}


@pytest.fixture
def registry(tmp_path):
    return write_registry(tmp_path / "registry", tmp_path)


def readiness(server):
    try:
        return httpx.get(f"{server.url}/health/ready", timeout=30)
    except httpx.TransportError:
        return httpx.Response(0)


def repair(registry, scratch, **made):
    folder = scratch / "repaired"
    write_bundle(folder, **made)
    publish(folder, registry)


@pytest.mark.parametrize("http_processes", [0, 1])
def test_a_named_variant_that_is_broken_keeps_the_server_unready_until_it_is_repaired(
    registry, tmp_path, http_processes
):
    graph = registry / "tone" / "wide" / "model.onnx"
    graph.write_bytes(b"broken")
    settings = {**SETTINGS, "http_processes": http_processes, "variants": "tiny,wide"}
    with serving(registry, wait_ready=False, **settings) as server:
        wait_for(lambda: "tone/wide" in readiness(server).text, 60)
        unready, live = readiness(server), httpx.get(f"{server.url}/health/live")
        log, page = server.log(), server.metrics()
        repair(registry, tmp_path, variant="wide", scale=2.5)
        wait_until_ready(server)
        wait_for(lambda: '"event":"ready"' in server.log())

        graph.write_bytes(b"broken again")
        wait_for(lambda: models(server)["refused"])
        answered, still = server.classify({"texts": ["good"]}), readiness(server)

    assert (unready.status_code, live.status_code) == (503, 200)
    assert "model.onnx does not match its manifest" in unready.json()["detail"]
    assert '"event":"not ready","missing":{"tone/wide":"' in log
    assert '"event":"ready"' not in log
    assert "Sizewise is ready" not in log
    assert "\nsizewise_ready 0.0\n" in page
    assert (answered.status_code, still.status_code) == (200, 200), "what runs goes on"


def test_a_family_with_nothing_but_a_broken_bundle_keeps_the_server_unready_until_it_is_gone(
    registry, tmp_path
):
    repair(registry, tmp_path, family="mood")
    (registry / "mood" / "tiny" / "manifest.json").write_text("{}")
    with serving(registry, wait_ready=False, **SETTINGS) as server:
        wait_for(lambda: "mood/tiny" in readiness(server).text, 60)
        (registry / "mood").rename(tmp_path / "away")
        wait_until_ready(server)


def test_bytes_that_change_under_a_running_version_are_reported_and_it_goes_on(registry):
    graph = registry / "tone" / "tiny" / "model.onnx"
    content = graph.read_bytes()
    with serving(registry, **SETTINGS, variants="tiny") as server:
        version = tiny(server)["version"]
        graph.write_bytes(b"x" + content[1:])
        wait_for(lambda: models(server)["refused"])
        refused, answer = models(server)["refused"], server.classify({"texts": ["good"]})
        altered = counted(server, "sizewise_altered_bundles", version)
        log = server.log()
        graph.write_bytes(content)
        wait_for(lambda: not models(server)["refused"])
        repaired = counted(server, "sizewise_altered_bundles", version)

    assert "model.onnx does not match its manifest" in refused[str(graph.parent)]
    assert answer.json()["results"][0]["version"] == version
    assert (altered, repaired) == (1, 0)
    assert log.count('"event":"bundle altered"') == 1
