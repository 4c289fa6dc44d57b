"""Cascades, routing and brownout on a real server; `tiny` is sure of "great" and not of "good"."""

import gc
import json
import weakref
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from serving.bundles.bundle import read_bundle
from serving.bundles.cascade import Cascade, Isotonic, Temperature, confidence
from serving.bundles.registry import publish, read_registry, scan
from serving.bundles.traffic import Policy
from serving.variants.classifier import Classifier
from serving.variants.family import Family, Served
from serving.variants.selection import ANY
from tests.support.bundles import write_bundle, write_registry
from tests.support.cascades import cascade_of, write_cascade
from tests.support.metric_values import total
from tests.support.processes import FRESH, serving
from tests.support.registries import wait_for

# With half as long again, `wide` alone costs what the cascade does, but for the noise of warm-up.
SLOW = {
    "program": "tests.support.slow_serving",
    "environ": {"SLOW_BATCH_S": "0.05", "SLOW_WIDE": "2.5"},
}


def versions(registry):
    return {b.manifest.variant: b.manifest.version for b in read_registry(registry)["tone"]}


@pytest.fixture
def registry(tmp_path):
    """A family with a cascade from `tiny` to `wide`."""
    found = write_registry(tmp_path / "registry", tmp_path)
    write_cascade(found, versions(found))
    return found


def models(server):
    return httpx.get(f"{server.url}/v1/models", timeout=30).json()


def answered(response):
    assert response.status_code == 200, response.text
    return [(each["variant"], each["degraded"]) for each in response.json()["results"]]


@pytest.mark.parametrize("http_processes", [0, 1])
def test_a_text_goes_on_where_the_small_variant_is_not_sure(registry, http_processes):
    sent = {"texts": ["great", "good", "awful", "film"]}
    with serving(registry, http_processes=http_processes) as server:
        response = server.classify(sent)
        named = server.classify(sent | {"variant": "tiny"})
        pinned = httpx.post(
            f"{server.url}/v2/models/tone/infer",
            json={
                "inputs": [
                    {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["great", "good"]}
                ]
            },
        ).json()
        listed = models(server)["models"][0]
        page = server.metrics()

    assert response.headers["x-sizewise-variant"] == "tiny,wide"
    assert "x-sizewise-degraded" not in response.headers
    expected = [("tiny", False), ("wide", False), ("tiny", False), ("wide", False)]
    assert answered(response) == expected
    assert answered(named) == [("tiny", False)] * 4
    assert response.json()["usage"]["tokens"] > named.json()["usage"]["tokens"]
    assert pinned["model_version"] == "tiny,wide"
    assert [stage["variant"] for stage in listed["cascade"]["stages"]] == ["tiny", "wide"]
    assert {v["variant"]: v["cost"] for v in listed["variants"]}["wide"] == 1.0
    assert total(page, "sizewise_cascade_texts_total") == 6
    assert total(page, "sizewise_escalated_texts_total", variant="tiny") == 3
    assert total(page, "sizewise_expected_escalation_ratio") == pytest.approx(0.3)
    assert total(page, "sizewise_texts_total", variant="tiny") == 3 + 4
    assert total(page, "sizewise_texts_total", variant="wide") == 3


def test_a_cascade_that_changes_is_followed_and_a_stale_or_broken_one_refused(registry, tmp_path):
    path = registry / "tone" / "cascade.json"
    with serving(registry, scan_ms=100) as server:
        assert answered(server.classify({"texts": ["good"]})) == [("wide", False)]
        elsewhere = {"tiny": "onnxruntime, fp32", "wide": "openvino, fp64"}
        write_cascade(registry, versions(registry), threshold=0.6, engines=elsewhere)
        wait_for(lambda: answered(server.classify({"texts": ["good"]})) == [("tiny", False)])
        listed = models(server)["models"][0]
        path.write_text("{")
        wait_for(lambda: str(path) in models(server)["refused"])
        kept = answered(server.classify({"texts": ["good"]}))
        write_bundle(tmp_path / "other", variant="tiny", scale=1.5, accuracy=0.85)
        publish(tmp_path / "other", registry)
        write_cascade(registry, versions(registry) | {"tiny": "0" * 16})
        wait_for(lambda: "stale" in models(server)["refused"].get(str(path), ""))
        stale = models(server)
        without = answered(server.classify({"texts": ["good"]}))
        path.unlink()
        wait_for(lambda: not models(server)["refused"])

    runs_as = {each["variant"]: each["runs_as"] for each in listed["variants"]}
    assert listed["unproven"] == sorted(n for n in runs_as if runs_as[n] != elsewhere[n])
    assert "wide" in listed["unproven"]
    assert kept == [("tiny", False)]
    assert stale["models"][0]["cascade"] is None
    assert "python -m models cascade" in stale["refused"][str(path)]
    assert without == [("wide", False)]


def test_who_asks_for_accuracy_or_cost_gets_the_cheapest_or_the_most_accurate(registry):
    with serving(registry) as server:
        costs = {v["variant"]: v["cost"] for v in models(server)["models"][0]["variants"]}

        def ask(**requirements):
            return server.classify({"texts": ["good"], **requirements})

        assert answered(ask(min_accuracy=0.8)) == [("tiny", False)]
        assert ask(min_accuracy=0.84).json()["results"][0]["variant"] == "wide"
        assert answered(ask(max_cost=costs["tiny"])) == [("tiny", False)]
        refused = [
            ask(min_accuracy=0.95),
            ask(max_cost=costs["tiny"] / 2),
            ask(variant="tiny", max_cost=1),
            ask(min_accuracy=1.5),
            ask(max_cost=0),
            ask(min_accuracy="0.9"),
        ]
    assert [each.status_code for each in refused] == [422] * 6
    problems = [each.json() for each in refused]
    assert (problems[0]["field"], problems[0]["limit"], problems[0]["value"]) == (
        "min_accuracy",
        pytest.approx(0.88),
        0.95,
    )
    assert (problems[1]["field"], problems[1]["limit"]) == ("max_cost", costs["tiny"])


def test_a_canary_has_no_part_in_a_cascade(registry, tmp_path):
    calibrated = versions(registry)
    for variant, scale in (("tiny", 1.1), ("wide", 2.6)):
        beside = tmp_path / f"{variant}@next"
        write_bundle(beside, variant=variant, scale=scale)
        beside.rename(registry / "tone" / beside.name)
    tried = {
        b.manifest.variant: b.manifest.version
        for b in scan([registry]).bundles["tone"]
        if "@" in b.folder.name
    }
    traffic = {v: {"canary": {"version": version, "weight": 1.0}} for v, version in tried.items()}
    (registry / "tone" / "traffic.json").write_text(json.dumps(traffic))
    with serving(registry) as server:
        cascaded = server.classify({"texts": ["great", "good"]}).json()["results"]
        named = server.classify({"texts": ["good"], "variant": "wide"}).json()["results"]

    assert {r["variant"]: r["version"] for r in cascaded} == calibrated
    assert [r["version"] for r in named] == [tried["wide"]]


def burst(server, texts, **requirements):
    def ask(n):
        body = {"texts": [f"good {'film ' * (n % 7)}"], **requirements}
        return server.classify(body, headers=FRESH)

    with ThreadPoolExecutor(texts) as clients:
        return list(clients.map(ask, range(texts)))


def test_under_overload_smaller_variants_stand_in_and_say_so(registry):
    settings = {"brownout_ms": 100, "max_batch_tokens": 16}
    with serving(registry, **settings, **SLOW) as server:
        first = [each for r in burst(server, 60) for each in answered(r)]
        burdened = [each for r in burst(server, 60) for each in answered(r)]
        pinned = [each for r in burst(server, 20, allow_degraded=False) for each in answered(r)]
        page, log = server.metrics(), server.log()
    with serving(registry, **settings | {"brownout_ms": 0}, **SLOW) as server:
        never = [each for r in burst(server, 60) for each in answered(r)]

    found = first + burdened
    assert set(found) == {("tiny", True), ("wide", False)}
    assert set(pinned) == set(never) == {("wide", False)}
    degraded = found.count(("tiny", True))
    assert total(page, "sizewise_degraded_total", variant="tiny") == degraded
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert any(line["event"] == "brownout" for line in lines)
    assert sum(line.get("degraded", False) for line in lines) == degraded


def test_no_variant_under_the_familys_floor_stands_in(registry):
    (registry / "tone" / "policy.json").write_text('{"min_accuracy": 0.88}')
    with serving(registry, brownout_ms=100, max_batch_tokens=16, **SLOW) as server:
        found = [each for r in burst(server, 60) for each in answered(r)]
        policy = models(server)["models"][0]["policy"]

    assert set(found) == {("wide", False)}
    assert policy["min_accuracy"] == 0.88


def test_sampled_texts_are_compared_with_the_reference(tmp_path):
    """The reference here says the opposite of `tiny`, so every text that stays there differs."""
    registry = tmp_path / "registry"
    for variant, scale, slow in (("tiny", 1.0, False), ("wide", -2.5, True)):
        write_bundle(tmp_path / variant, variant=variant, scale=scale, slow=slow)
        publish(tmp_path / variant, registry)
    write_cascade(registry, versions(registry))
    (registry / "tone" / "policy.json").write_text('{"sample_share": 1.0}')

    def seen(page):
        return total(page, "sizewise_sampled_texts_total")

    with serving(registry) as server:
        server.classify({"texts": ["great", "good", "awful"]})
        wait_for(lambda: seen(server.metrics()) == 3)
        for n in range(1, 40):
            server.classify({"texts": [f"great {'film ' * (n % 20)}"]})
            wait_for(lambda n=n: seen(server.metrics()) == 3 + n)
        page = server.metrics()

    # "good" was answered by the reference itself.
    assert total(page, "sizewise_sampled_disagreements_total") == 42 - 1
    assert total(page, "sizewise_disagreement_lower_ratio") > 0.7
    assert total(page, "sizewise_allowed_disagreement_ratio") == pytest.approx(0.01)


def test_other_texts_than_were_calibrated_raise_the_alarm(registry):
    with serving(registry) as server:
        # As calibrated: three of ten go on.
        for _ in range(20):
            server.classify({"texts": ["great"] * 7 + ["good"] * 3})
        usual = total(server.metrics(), "sizewise_escalation_drifted")
        for _ in range(20):
            server.classify({"texts": ["good"] * 8 + ["great"] * 2})
        moved = total(server.metrics(), "sizewise_escalation_drifted")

    assert (usual, moved) == (0, 1)


def test_a_family_that_is_dropped_is_freed_without_the_garbage_collector(tmp_path):
    """The collector does not look at what the server had loaded when it became ready."""
    write_bundle(tmp_path / "tiny")
    classifier = Classifier(read_bundle(tmp_path / "tiny"), None, None, None, None, windowing=None)
    family = Family(
        "tone", {"tiny": Served(classifier, 1.0)}, cascade=None, policy=Policy(),
        on_shadow=None, on_sample=None,
    )  # fmt: skip
    assert family._ways(ANY)
    classifier = weakref.ref(classifier)

    gc.disable()
    try:
        del family
        assert classifier() is None
    finally:
        gc.enable()


LOGITS = st.lists(st.floats(-50, 50), min_size=2, max_size=5)


@given(LOGITS, st.booleans(), st.floats(0.05, 20))
def test_a_confidence_is_a_probability_whatever_the_calibration(logits, multi_label, temperature):
    steps = Isotonic(confidences=[0.3, 0.6, 0.9], right=[0.4, 0.7, 0.95])

    assert 0 <= confidence(logits, multi_label=multi_label) <= 1
    tempered = confidence(logits, Temperature(temperature=temperature), multi_label=multi_label)
    assert 0 <= tempered <= 1
    assert confidence(logits, steps, multi_label=multi_label) in steps.right


def test_a_step_begins_at_its_confidence():
    steps = Isotonic(confidences=[0.5, 0.75], right=[0.6, 0.9])

    assert confidence([0.0, 0.0], steps, multi_label=False) == 0.6
    assert confidence([0.0, 5.0], steps, multi_label=False) == 0.9
    assert confidence([5.0, -5.0], steps, multi_label=True) == 0.9


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bound": 0.02}, "exceeds the target"),
        ({"stages": []}, "at least 2"),
        ({"extra": 1}, "Extra inputs"),
        ({"tested_sha256": "no"}, "should match"),
    ],
)
def test_a_cascade_that_guarantees_nothing_is_no_cascade(change, words):
    whole = cascade_of({"tiny": "0" * 16, "wide": "1" * 16}).model_dump()

    with pytest.raises(ValidationError, match=words):
        Cascade.model_validate(whole | change)
