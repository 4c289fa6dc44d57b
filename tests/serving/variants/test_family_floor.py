"""What a floor in policy.json keeps from answering, on a real server."""

import httpx
import pytest

from serving.bundles.registry import read_registry
from tests.support.bundles import write_registry
from tests.support.cascades import write_cascade
from tests.support.processes import serving
from tests.support.registries import wait_for


@pytest.fixture
def registry(tmp_path):
    """A family with a cascade from `tiny` to `wide`."""
    found = write_registry(tmp_path / "registry", tmp_path)
    write_cascade(
        found, {b.manifest.variant: b.manifest.version for b in read_registry(found)["tone"]}
    )
    return found


def answered(response):
    assert response.status_code == 200, response.text
    return [(each["variant"], each["degraded"]) for each in response.json()["results"]]


def test_below_the_floor_a_variant_answers_only_by_its_name(registry):
    """The cascade begins with `tiny`, whose accuracy is at least 0.83; that of `wide` is 0.88."""
    path = registry / "tone" / "policy.json"
    with serving(registry, scan_ms=100) as server:
        assert answered(server.classify({"texts": ["great"]})) == [("tiny", False)]
        path.write_text('{"floor": {"min_accuracy": 0.85}}')
        wait_for(lambda: answered(server.classify({"texts": ["great"]})) == [("wide", False)])
        named = server.classify({"texts": ["great"], "variant": "tiny"})
        cheap = server.classify({"texts": ["great"], "max_cost": 0.01})
        listed = httpx.get(f"{server.url}/v1/models", timeout=30).json()["models"][0]

    assert answered(named) == [("tiny", False)]
    assert cheap.json()["limit"] == 1.0
    assert listed["policy"]["floor"]["min_accuracy"] == 0.85
    assert {each["variant"] for each in listed["variants"]} == {"tiny", "wide"}
