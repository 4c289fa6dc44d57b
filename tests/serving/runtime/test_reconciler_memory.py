"""A family with a cascade that makes room for another one, and comes back."""

import pytest

from serving.bundles.registry import publish, read_registry
from tests.support.bundles import write_bundle, write_registry
from tests.support.cascades import write_cascade
from tests.support.metric_values import total
from tests.support.processes import serving
from tests.support.registries import models


@pytest.fixture
def registry(tmp_path):
    """A family with a cascade, and one without."""
    found = write_registry(tmp_path / "registry", tmp_path)
    versions = {b.manifest.variant: b.manifest.version for b in read_registry(found)["tone"]}
    write_cascade(found, versions)
    write_bundle(tmp_path / "mood", family="mood")
    publish(tmp_path / "mood", found)
    return found


@pytest.mark.parametrize("http_processes", [0, 1])
def test_a_family_with_a_cascade_rests_before_another_one_is_loaded(registry, http_processes):
    loaded = []
    # One byte: each family alone is too large, and the one that was asked last stays.
    settings = {"memory_bytes": 1, "default_deadline_ms": 25_000, "http_processes": http_processes}
    with serving(registry, **settings) as server:
        for family in ("mood", "tone", "mood", "tone"):
            answer = server.classify({"texts": ["good"], "model": family})
            listed, page = models(server), server.metrics()
            loaded.append((answer.status_code, [each["model"] for each in listed["models"]]))
            others = {"mood", "tone"} - {family}
            assert not any(total(page, "sizewise_variant_bytes", model=each) for each in others)
        log = server.log()

    assert loaded == [(200, [family]) for family in ("mood", "tone", "mood", "tone")]
    assert listed["models"][0]["cascade"]
    assert total(page, "sizewise_task_failures_total") == 0
    assert "a background task has failed" not in log
