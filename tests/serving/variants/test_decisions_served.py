"""Decisions on a real server: of variants and the cascade, followed live; none costs nothing."""

import httpx
import pytest

from serving.bundles.registry import publish, read_registry
from serving.bundles.windows import WINDOWS_NAME, Windows
from tests.support.bundles import write_bundle, write_registry
from tests.support.cascades import cascade_of, write_cascade
from tests.support.decisions import decider, decisions_of, write_decisions
from tests.support.metric_values import total
from tests.support.processes import serving
from tests.support.registries import wait_for

TEXTS = ["great", "good", "awful", "film"]
# `tiny` says 0.98 and 0.88 of "great" and "good", 0.5 of "film"; `wide` 0.99 of "good".
LOW, HIGH = {"positive": 0.4}, {"positive": 0.95}


def versions(registry):
    return {b.manifest.variant: b.manifest.version for b in read_registry(registry)["tone"]}


@pytest.fixture
def registry(tmp_path):
    return write_registry(tmp_path / "registry", tmp_path)


def results(server, **fields):
    response = server.classify({"texts": TEXTS, **fields})
    assert response.status_code == 200, response.text
    return response.json()["results"]


def flags(server, **fields):
    return [each["flagged"] for each in results(server, **fields)]


def listed(server):
    return httpx.get(f"{server.url}/v1/models", timeout=30).json()


@pytest.mark.parametrize("http_processes", [0, 1])
def test_each_answer_is_decided_by_the_thresholds_of_what_gave_it(registry, http_processes):
    its = versions(registry)
    write_cascade(registry, its)
    low = decider(its, LOW, cascade=cascade_of(its))
    made = decisions_of(low, decider(its, HIGH, variant="tiny", engines={"tiny": "other"}))
    write_decisions(registry, made)
    with serving(registry, http_processes=http_processes) as server:
        by_cascade, by_tiny = results(server), results(server, variant="tiny")
        by_wide = results(server, variant="wide")
        family = listed(server)["models"][0]
        page = server.metrics()

    assert [each["decisions"] for each in by_cascade] == [
        {"positive": each["scores"]["positive"] >= 0.4} for each in by_cascade
    ]
    assert [each["flagged"] for each in by_cascade] == [True, True, False, True]
    assert [each["flagged"] for each in by_tiny] == [True, False, False, False]
    assert {(each["flagged"], each["decisions"]) for each in by_wide} == {(None, None)}
    assert family["decisions"]["deciders"][1]["labels"][0]["threshold"] == 0.95
    assert family["undecided"] == ["wide"]
    assert family["unproven"] == ["tiny"]
    assert total(page, "sizewise_decided_texts_total", decider="cascade") == 4
    assert total(page, "sizewise_flagged_texts_total", decider="cascade") == 3
    assert total(page, "sizewise_flagged_texts_total", decider="tiny") == 1
    assert total(page, "sizewise_expected_flagged_ratio", decider="tiny") == 0.3
    assert total(page, "sizewise_undecided_variants", model="tone") == 1
    assert total(page, "sizewise_unproven_variants", model="tone") == 1


def test_a_family_without_decisions_says_nothing_of_them(registry):
    with serving(registry) as server:
        answered, family = results(server), listed(server)["models"][0]
        page = server.metrics()

    assert not {"flagged", "decisions"} & answered[0].keys()
    assert (family["decisions"], family["undecided"]) == (None, [])
    assert "sizewise_undecided_variants{" not in page


def test_a_file_that_changes_is_followed_a_broken_one_refused_a_stale_one_not_applied(
    registry, tmp_path
):
    its, path = versions(registry), registry / "tone" / "decisions.json"
    with serving(registry, scan_ms=100) as server:
        assert "flagged" not in results(server)[0]
        both = [decider(its, LOW, variant=name) for name in its]
        write_decisions(registry, decisions_of(*both))
        wait_for(lambda: "flagged" in results(server)[0])
        before = flags(server)
        path.write_text("{")
        wait_for(lambda: str(path) in listed(server)["refused"])
        kept = flags(server)
        odd = decisions_of(decider(its, {"odd": 0.5}, variant="wide"))
        write_decisions(registry, odd)
        wait_for(lambda: "no label 'odd'" in listed(server)["refused"][str(path)])
        still_kept = flags(server)
        write_decisions(registry, decisions_of(*both))
        wait_for(lambda: not listed(server)["refused"])
        write_bundle(tmp_path / "next", variant="tiny", scale=1.5, accuracy=0.85)
        publish(tmp_path / "next", registry)
        wait_for(lambda: listed(server)["models"][0]["undecided"] == ["tiny"])
        stale = flags(server, variant="tiny"), flags(server)
        refused = listed(server)["refused"]
        path.unlink()
        wait_for(lambda: "flagged" not in results(server)[0])

    assert before == kept == still_kept == [True, True, False, True]
    assert stale == ([None] * 4, before)
    assert refused == {}


def test_a_file_that_a_start_refuses_leaves_everything_undecided(registry):
    (registry / "tone" / "decisions.json").mkdir()
    with serving(registry) as server:
        answered, family = results(server), listed(server)["models"][0]
        moderated = httpx.post(f"{server.url}/v1/moderations", json={"input": "bad"}, timeout=30)
        page = server.metrics()

    assert {(each["flagged"], each["decisions"]) for each in answered} == {(None, None)}
    assert (family["decisions"], family["undecided"]) == (None, ["tiny", "wide"])
    assert moderated.status_code == 503
    assert total(page, "sizewise_undecided_variants", model="tone") == 2


MAX = Windows(rule="max")
LONG = "film " * 60 + "good"


def made_in_windows(registry, *deciders, **fields):
    manifests = {b.manifest.variant: b.manifest for b in read_registry(registry)["tone"]}
    hashed = [
        each.model_copy(update={"windows_hash": MAX.fingerprint(map(manifests.get, each.versions))})
        for each in deciders
    ]
    return decisions_of(*hashed, long="windows", **fields)


def test_a_long_text_is_decided_only_if_it_is_read_as_when_the_thresholds_were_chosen(registry):
    tiny = decider(versions(registry), LOW, variant="tiny")
    (registry / "tone" / WINDOWS_NAME).write_text(MAX.model_dump_json())
    found, counted = {}, {}
    with serving(registry, scan_ms=100) as server:

        def asked(long):
            texts = ["good", LONG]
            return flags(server, texts=texts, variant="tiny", long=long)

        for made in (decisions_of(tiny), made_in_windows(registry, tiny)):
            write_decisions(registry, made)
            wait_for(lambda its=made: listed(server)["models"][0]["decisions"] == its.model_dump())
            found[made.long] = {long: asked(long) for long in ("truncate", "windows")}
            counted[made.long] = total(server.metrics(), "sizewise_decided_texts_total")
        (registry / "tone" / WINDOWS_NAME).write_text('{"rule": "mean", "long": "windows"}')
        wait_for(lambda: "tiny" in listed(server)["models"][0]["undecided"])
        stale = asked("windows"), asked("truncate")
        (registry / "tone" / WINDOWS_NAME).write_text('{"rule": "max", "long": "windows"}')
        wait_for(lambda: "tiny" not in listed(server)["models"][0]["undecided"])
        again = asked(None)

    assert found == {
        "truncate": {"truncate": [True, True], "windows": [True, None]},
        "windows": {"truncate": [True, None], "windows": [True, True]},
    }
    assert counted == {"truncate": 3, "windows": 6}
    assert stale == ([None, None], [None, None])
    assert again == [True, True]


def test_a_text_that_an_earlier_stage_has_cut_is_long_though_the_last_one_reads_it_whole(tmp_path):
    registry = tmp_path / "registry"
    for variant, max_length in (("tiny", 8), ("wide", 32)):
        write_bundle(
            tmp_path / variant, variant=variant, max_length=max_length,
            ballast_bytes=1000 * (variant == "wide"),
        )  # fmt: skip
        publish(tmp_path / variant, registry)
    its = versions(registry)
    write_cascade(registry, its)
    (registry / "tone" / WINDOWS_NAME).write_text(MAX.model_dump_json())
    write_decisions(registry, made_in_windows(registry, decider(its, LOW, cascade=cascade_of(its))))
    texts = ["film", "film " * 10, "great " * 10]
    with serving(registry) as server:
        cut = results(server, texts=texts, long="truncate")
        in_windows = flags(server, texts=texts, long="windows")

    assert [each["variant"] for each in cut] == ["wide", "wide", "tiny"]
    assert [each["truncated"] for each in cut] == [False, False, True]
    assert [each["flagged"] for each in cut] == [True, None, None]
    assert in_windows == [True, True, True]
