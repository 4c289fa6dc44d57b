import json
import math
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from serving.bundles.registry import publish
from tests.support.bundles import write_bundle, write_registry
from tests.support.processes import serving
from tests.support.registries import counted, models, tiny, wait_for

CLIENTS = 4
TEXTS = ["good", "bad", "great", "awful", "film"]


@pytest.fixture
def registry(tmp_path):
    return write_registry(tmp_path / "registry", tmp_path)


@pytest.fixture(params=[0, 1], ids=["one process", "an HTTP process"])
def server(request, registry):
    with serving(registry, http_processes=request.param, scan_ms=100, variants="tiny") as running:
        yield running


def put(registry, scratch, *, beside="", **made):
    """Publish a bundle, or lay it beside under that name; its manifest."""
    folder = scratch / f"new{len(list(scratch.iterdir()))}"
    manifest = write_bundle(folder, **made)
    if not beside:
        publish(folder, registry)
    else:
        folder.rename(registry / manifest.family / f"{manifest.variant}@{beside}")
    return manifest


def direct(registry, **traffic):
    (registry / "tone" / "traffic.json").write_text(json.dumps({"tiny": traffic}))


class Clients:
    """Ask without a pause until told to stop; what came back by status and version."""

    def __init__(self, server):
        self.outcomes = Counter()
        self._server = server
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]

    def _run(self):
        with httpx.Client(base_url=self._server.url, timeout=30) as client:
            while not self._stop.is_set():
                response = client.post("/v1/classify", json={"texts": ["good"]})
                versions = [r["version"] for r in response.json().get("results", [])]
                self.outcomes[response.status_code, *versions] += 1

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_a_new_version_takes_over_under_load_and_no_request_fails(server, registry, tmp_path):
    first = tiny(server)["version"]
    with Clients(server) as clients:
        second = put(registry, tmp_path, scale=2.0).version
        wait_for(lambda: clients.outcomes[200, second])

    assert set(clients.outcomes) == {(200, first), (200, second)}
    assert first != second == tiny(server)["version"]
    wait_for(lambda: "unloaded" in server.log())
    assert f'version="{first}",precision' not in server.metrics()


def test_a_new_family_appears_and_one_that_is_taken_away_goes(server, registry, tmp_path):
    put(registry, tmp_path, family="mood")
    wait_for(lambda: len(models(server)["models"]) == 2)
    answered = server.classify({"texts": ["good"], "model": "mood"})

    (registry / "mood").rename(tmp_path / "away")
    wait_for(lambda: len(models(server)["models"]) == 1)
    refused = server.classify({"texts": ["good"], "model": "mood"})

    assert answered.status_code == 200
    assert (refused.status_code, refused.json()["field"]) == (404, "model")
    assert server.classify({"texts": ["good"]}).status_code == 200


@pytest.mark.parametrize("broken", ["model.onnx", "manifest.json", "traffic.json"])
def test_what_is_broken_is_refused_with_a_reason_while_the_old_answers(
    server, registry, tmp_path, broken
):
    first = tiny(server)["version"]
    folder = registry / "tone"
    if broken == "traffic.json":
        (folder / broken).write_text('{"tiny": {"version": "0000000000000000"}}')
    else:
        put(registry, tmp_path, scale=2.0)
        (folder / "tiny" / broken).write_bytes(b"broken")
    wait_for(lambda: models(server)["refused"])
    refused = models(server)["refused"]
    answer = server.classify({"texts": ["good"]}).json()

    path = folder / broken if broken == "traffic.json" else folder / "tiny"
    assert list(refused) == [str(path)]
    assert broken in refused[str(path)]
    assert answer["results"][0]["version"] == first
    assert 'sizewise_refused_bundles{model="tone"} 1.0' in server.metrics()

    if broken == "traffic.json":
        (folder / broken).unlink()
    else:
        put(registry, tmp_path, scale=3.0)
    wait_for(lambda: not models(server)["refused"])
    assert "sizewise_refused_bundles{" not in server.metrics()


def test_a_version_is_pinned_rolled_back_and_the_previous_one_is_kept_for_it(
    server, registry, tmp_path
):
    first = tiny(server)["version"]
    second = put(registry, tmp_path, scale=2.0).version
    wait_for(lambda: tiny(server)["version"] == second)

    direct(registry, version=first)

    wait_for(lambda: tiny(server)["version"] == first)
    assert server.classify({"texts": ["good"]}).json()["results"][0]["version"] == first
    (registry / "tone" / "traffic.json").unlink()
    wait_for(lambda: tiny(server)["version"] == second)


def test_a_canary_answers_its_share(server, registry, tmp_path):
    live = tiny(server)["version"]
    canary = put(registry, tmp_path, scale=2.0, beside="next").version
    direct(registry, canary={"version": canary, "weight": 0.1})
    wait_for(lambda: tiny(server)["canary"] == canary)
    asked = 600

    with httpx.Client(base_url=server.url, timeout=30) as client:
        answers = [client.post("/v1/classify", json={"texts": ["good"]}) for _ in range(asked)]

    versions = Counter(answer.json()["results"][0]["version"] for answer in answers)
    assert set(versions) == {live, canary}
    assert counted(server, "sizewise_version_texts_total", canary) == versions[canary]
    # Six standard deviations of the binomial distribution on either side.
    assert abs(versions[canary] - asked * 0.1) < 6 * math.sqrt(asked * 0.1 * 0.9)
    assert tiny(server)["canary_weight"] == 0.1


def test_a_shadow_is_compared_with_what_was_answered_and_never_returned(server, registry, tmp_path):
    live = tiny(server)["version"]
    # The opposite signs: every text with a weight gets the other label, one without ties.
    shadow = put(registry, tmp_path, scale=-1.0, beside="shadow").version
    direct(registry, shadow={"version": shadow})
    wait_for(lambda: tiny(server)["shadow"] == shadow)

    with httpx.Client(base_url=server.url, timeout=30) as client:
        for _ in range(20):
            results = client.post("/v1/classify", json={"texts": TEXTS}).json()["results"]
            assert {result["version"] for result in results} == {live}

    wait_for(lambda: counted(server, "sizewise_shadow_texts_total", shadow) == 20 * len(TEXTS))
    assert counted(server, "sizewise_shadow_disagreements_total", shadow) == 20 * 4


def test_nothing_is_judged_while_it_is_being_copied(registry, tmp_path):
    with serving(registry, scan_ms=1000, variants="tiny") as server:
        first = tiny(server)["version"]
        made = tmp_path / "made"
        second = write_bundle(made, scale=2.0).version
        seen = set()
        for name in ("manifest.json", "config.json", "tokenizer.json", "model.onnx"):
            content = (made / name).read_bytes()
            for third in (1, 2, 3):
                part = content[: len(content) * third // 3]
                Path(registry / "tone" / "tiny" / name).write_bytes(part)
                time.sleep(0.3)
                seen |= set(models(server)["refused"])
        wait_for(lambda: tiny(server)["version"] == second)

    assert seen == set()
    assert first != second


@pytest.mark.parametrize("http_processes", [0, 1])
def test_when_memory_is_short_the_least_recently_asked_rest_and_come_back_when_asked(
    registry, tmp_path, http_processes
):
    for family in ("mood", "taste"):
        put(registry, tmp_path, family=family)
    # One byte: each family alone is too large, and the one that was asked last stays.
    with serving(registry, memory_bytes=1, http_processes=http_processes) as server:
        at_start = models(server)
        codes = Counter()
        for family in ("tone", "mood", "taste", "mood", "mood", "tone"):
            answer = server.classify({"texts": ["good"], "model": family})
            codes[answer.status_code] += 1
        after = models(server)
        too_soon = server.classify({"texts": ["good"], "model": "mood", "deadline_ms": 1})

    assert codes == {200: 6}
    assert [family["model"] for family in at_start["models"]] == ["mood"]
    assert at_start["resting"] == ["taste", "tone"]
    assert [family["model"] for family in after["models"]] == ["tone"]
    assert after["resting"] == ["mood", "taste"]
    assert (too_soon.status_code, too_soon.json()["code"]) == (503, "not_ready")
    assert too_soon.headers["Retry-After"]


def test_families_lie_in_several_registries_and_the_first_of_a_name_counts(registry, tmp_path):
    other = tmp_path / "other"
    put(other, tmp_path, family="mood")
    doubled = put(other, tmp_path, family="tone", scale=7.0)
    with serving(f"{registry},{other}", scan_ms=100) as server:
        listed = models(server)
        put(other, tmp_path, family="taste")
        wait_for(lambda: len(models(server)["models"]) == 3)

    assert [family["model"] for family in listed["models"]] == ["mood", "tone"]
    assert doubled.version not in str(listed["models"])
    assert list(listed["refused"]) == [str(other / "tone")]


def test_a_start_refuses_what_is_broken_and_serves_the_rest(registry):
    (registry / "tone" / "wide" / "model.onnx").write_bytes(b"broken")
    with serving(registry) as server:
        listed = models(server)

    assert [each["variant"] for each in listed["models"][0]["variants"]] == ["tiny"]
    assert list(listed["refused"]) == [str(registry / "tone" / "wide")]


def test_a_start_with_nothing_that_can_be_served_never_says_that_it_is_ready(registry):
    for variant in ("tiny", "wide"):
        (registry / "tone" / variant / "model.onnx").write_bytes(b"no graph")
    with serving(registry, wait_ready=False) as server:
        status = server.process.wait(60)
        log = server.log()

    assert status == 2
    assert '"event":"ready"' not in log
    assert "publish the bundle again" in log.splitlines()[-1]
