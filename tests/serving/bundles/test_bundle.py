import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from serving.bundles.bundle import (
    BundleFile,
    Manifest,
    read_bundle,
    verify,
    write_manifest,
)
from serving.bundles.evaluation import Estimate
from serving.errors import BundleError
from tests.support.bundles import write_bundle


@pytest.fixture
def folder(tmp_path):
    write_bundle(tmp_path)
    return tmp_path


def edit_manifest(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_written_is_read_back_and_verified(tmp_path):
    manifest = write_bundle(tmp_path)
    bundle = read_bundle(tmp_path)

    verify(bundle)

    assert bundle.manifest == manifest
    assert manifest.bytes == sum(
        (tmp_path / name).stat().st_size for name in ("model.onnx", "tokenizer.json", "config.json")
    )


def test_the_version_follows_what_decides_an_answer_and_nothing_else(tmp_path):
    first = write_bundle(tmp_path / "a", accuracy=0.8)
    same = write_bundle(tmp_path / "b", accuracy=0.9)
    other = write_bundle(tmp_path / "c", scale=2.0)
    longer = write_bundle(tmp_path / "d", max_length=64)

    assert first.version == same.version
    assert len({first.version, other.version, longer.version}) == 3


def rewritten(folder, **changes):
    fields = read_bundle(folder).manifest.model_dump(exclude={"version", "bytes", "files"})
    return write_manifest(folder, **fields | changes)


def test_a_temperature_other_than_one_is_part_of_the_version(folder):
    before = read_bundle(folder).manifest.version

    versions = {rewritten(folder, temperature=t).version for t in (1.0, 1.3, 1.4)}

    assert len(versions) == 3
    assert before in versions


def test_a_card_is_verified_like_any_file_but_is_not_part_of_the_version(folder):
    before = read_bundle(folder).manifest
    (folder / "README.md").write_text("# tiny")

    assert rewritten(folder).version == before.version
    verify(read_bundle(folder))
    (folder / "README.md").write_text("# huge")
    with pytest.raises(BundleError, match=r"README\.md"):
        verify(read_bundle(folder))


def test_a_manifest_from_before_temperatures_is_still_read(folder):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["temperature"]
    path.write_text(json.dumps(manifest))

    assert read_bundle(folder).manifest.temperature == 1.0


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
def test_an_altered_file_is_refused_by_name(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))

    with pytest.raises(BundleError, match=name):
        verify(read_bundle(folder))


def test_a_missing_file_is_refused_by_name(folder):
    (folder / "tokenizer.json").unlink()

    with pytest.raises(BundleError, match=r"tokenizer\.json is missing"):
        verify(read_bundle(folder))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"format_version": 2}, "format_version"),
        ({"labels": ["a", "a"]}, "labels"),
        ({"max_length": 0}, "max_length"),
        ({"max_length": 16}, "version"),
        ({"temperature": 2.0}, "version"),
        ({"temperature": 0.0}, "temperature"),
        ({"surprise": 1}, "surprise"),
        ({"variant": "../up"}, "variant"),
    ],
)
def test_a_wrong_manifest_is_refused_naming_the_field(folder, changes, named):
    edit_manifest(folder, **changes)

    with pytest.raises(BundleError, match=named):
        read_bundle(folder)


def test_a_config_with_other_labels_is_refused(folder):
    (folder / "config.json").write_text(json.dumps({"id2label": {"0": "no", "1": "yes"}}))

    manifest = json.loads((folder / "manifest.json").read_text())
    for computed in ("version", "bytes", "files"):
        del manifest[computed]

    with pytest.raises(BundleError, match="id2label"):
        write_manifest(folder, **manifest)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_an_estimate_outside_its_interval_is_refused(value, low, high):
    if low <= value <= high:
        assert Estimate(value=value, low=low, high=high).value == value
    else:
        with pytest.raises(ValidationError):
            Estimate(value=value, low=low, high=high)


@pytest.mark.parametrize(
    ("changes", "version"),
    [
        ({}, "d11c0f1525881e57"),
        ({"problem_type": "multi_label"}, "aa260664b76dc382"),
        ({"temperature": 1.3, "pairs": True}, "a2ecb7e1fbf38722"),
    ],
)
def test_what_a_manifest_may_say_since_leaves_the_versions_of_before_as_they_were(
    folder, changes, version
):
    kept = json.loads((folder / "manifest.json").read_text())
    fixed = {name: {"sha256": "0" * 64, "bytes": 1} for name in kept["files"]}
    manifest = Manifest.model_construct(**(kept | changes)).model_copy(
        update={"files": {name: BundleFile(**file) for name, file in fixed.items()}}
    )

    assert manifest.content_version() == version


def test_what_the_graph_answers_is_part_of_the_version(folder):
    before = read_bundle(folder).manifest.version

    assert rewritten(folder, graph_output="logits").version == before
    assert rewritten(folder, graph_output="probabilities").version != before


def test_a_single_label_applies_or_not_by_itself(folder):
    two = read_bundle(folder).manifest
    kinds = {
        (kind, count): two.model_copy(
            update={"problem_type": kind, "labels": two.labels[:count]}
        ).multi_label
        for kind in ("single_label", "multi_label", "regression")
        for count in (1, 2)
    }

    assert {each for each, multi_label in kinds.items() if multi_label} == {
        ("single_label", 1), ("multi_label", 1), ("multi_label", 2),
    }  # fmt: skip


@pytest.mark.parametrize("changes", [{"temperature": 1.3}, {"graph_output": "probabilities"}])
def test_a_regression_with_what_makes_no_sense_of_values_is_refused(folder, changes):
    with pytest.raises(BundleError, match="regression"):
        rewritten(folder, problem_type="regression", **changes)
