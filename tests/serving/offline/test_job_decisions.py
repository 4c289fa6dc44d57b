"""Columns of decisions: as the server decides, empty where nothing is decided."""

import json

import pytest

from serving.bundles.registry import publish, read_registry
from serving.bundles.windows import WINDOWS_NAME, Windows
from tests.support.bundles import write_bundle, write_registry
from tests.support.decisions import decider, decisions_of, write_decisions
from tests.support.offline_jobs import ENDINGS, classify, read, write

ROWS = [{"text": text} for text in ("great", "good", "awful", "")]


@pytest.fixture
def registry(tmp_path):
    """`tiny` says 0.98, 0.88 and 0.02 of the three texts."""
    found = write_registry(tmp_path / "registry", tmp_path)
    versions = {b.manifest.variant: b.manifest.version for b in read_registry(found)["tone"]}
    thresholds = {"positive": 0.95, "negative": 0.9}
    write_decisions(found, decisions_of(decider(versions, thresholds, variant="tiny")))
    return found


@pytest.mark.parametrize("ending", ENDINGS)
def test_labels_that_are_flagged_are_named(tmp_path, registry, ending):
    source, output = write(tmp_path / f"in{ending}", ROWS), tmp_path / f"out{ending}"

    status, said = classify(source, output, registry, "--variant", "tiny", "--prefix", "its_")

    assert status == 0, said
    found = read(output)
    named = [row["its_decisions"] for row in found]
    if ending == ".csv":
        named = [json.loads(each) if each else None for each in named]
        flags = [{"true": True, "false": False, "": None}[r["its_flagged"]] for r in found]
    else:
        flags = [row["its_flagged"] for row in found]
    assert named == [["positive"], [], ["negative"], None]
    assert flags == [True, False, True, None]


def test_variants_and_versions_without_thresholds_have_empty_columns(tmp_path, registry):
    source = write(tmp_path / "in.jsonl", ROWS)
    assert classify(source, tmp_path / "wide.jsonl", registry, "--variant", "wide")[0] == 0
    write_bundle(tmp_path / "next", variant="tiny", scale=1.5)
    publish(tmp_path / "next", registry)
    assert classify(source, tmp_path / "new.jsonl", registry, "--variant", "tiny")[0] == 0

    for name in ("wide", "new"):
        rows = read(tmp_path / f"{name}.jsonl")
        assert {(row["flagged"], row["decisions"]) for row in rows} == {(None, None)}


@pytest.mark.parametrize("long", ["truncate", "windows"])
def test_a_long_text_is_decided_only_if_it_is_read_as_when_the_thresholds_were_chosen(
    tmp_path, registry, long
):
    windows = Windows(rule="max", long=long)
    (registry / "tone" / WINDOWS_NAME).write_text(windows.model_dump_json())
    (tiny,) = [b.manifest for b in read_registry(registry)["tone"] if b.manifest.variant == "tiny"]
    in_windows = {"windows_hash": windows.fingerprint([tiny])} if long == "windows" else {}
    its = decider({"tiny": tiny.version}, {"positive": 0.6}, variant="tiny", **in_windows)
    write_decisions(registry, decisions_of(its, long=long))
    rows = [{"text": text} for text in ("good", "film " * 60 + "great")]
    source = write(tmp_path / "in.jsonl", rows)
    found = {}
    for asked in ("truncate", "windows", None):
        output = tmp_path / f"{asked}.jsonl"
        status, said = classify(
            source, output, registry, "--variant", "tiny", *(["--long", asked] if asked else [])
        )
        assert status == 0, said
        found[asked] = [row["flagged"] for row in read(output)]

    assert found["truncate"] == [True, False if long == "truncate" else None]
    assert found["windows"] == [True, True if long == "windows" else None]
    assert found[None] == found[long]


def test_a_broken_file_is_one_sentence(tmp_path, registry):
    (registry / "tone" / "decisions.json").write_text("{")
    source = write(tmp_path / "in.jsonl", ROWS)

    status, said = classify(source, tmp_path / "out.jsonl", registry, "--variant", "tiny")

    assert status == 2
    assert "decisions.json: the file: Invalid JSON" in said
