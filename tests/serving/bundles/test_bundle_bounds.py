"""What others wrote into a registry is bounded: sizes of files, and numbers in them."""

import json
import os
import shutil
from pathlib import Path

import pytest

from serving.bundles.bundle import Manifest, read_bundle
from serving.bundles.cascade import Temperature
from serving.bundles.evaluation import Estimate
from serving.bundles.files import parse, read_file
from serving.bundles.registry import FAMILY_NAMES, scan
from serving.bundles.signatures import read_trusted_keys
from serving.bundles.traffic import Policy, Traffic
from serving.errors import BundleError
from serving.settings import SHIPPED_REGISTRY
from tests.support.bundles import write_bundle
from tests.support.signed import new_keys, signed_registry

HUGE = 1 << 36  # sparse: it takes no room


@pytest.fixture
def folder(tmp_path):
    write_bundle(tmp_path / "tone" / "tiny")
    return tmp_path / "tone" / "tiny"


def enlarge(path):
    with path.open("ab") as file:
        file.truncate(HUGE)


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_a_huge_file_of_a_family_is_refused_unread(folder, name):
    enlarge(folder.parent / name)

    found = scan([folder.parent.parent])

    assert [b.manifest.variant for b in found.bundles["tone"]] == ["tiny"]
    assert "is larger than" in found.refused[str(folder.parent / name)]


@pytest.mark.parametrize("name", ["manifest.json", "manifest.json.sig"])
def test_a_bundle_described_by_a_huge_file_is_refused_unread(tmp_path, name):
    private, public = new_keys(tmp_path, "team")
    registry = signed_registry(tmp_path / "registry", private)
    enlarge(registry / "tone" / "tiny" / name)

    found = scan([registry], trusted=read_trusted_keys(public))

    assert [b.manifest.variant for b in found.bundles["tone"]] == ["wide"]
    assert "is larger than" in found.refused[str(registry / "tone" / "tiny")]


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_manifest_that_names_a_huge_description_is_refused(folder, name):
    files = json.loads((folder / "manifest.json").read_text())["files"]
    files[name]["bytes"] = HUGE
    edit(folder, files=files)

    with pytest.raises(BundleError, match=rf"{name} is larger than"):
        read_bundle(folder)


def test_a_file_that_grows_while_it_is_read_is_not_read_on(tmp_path, monkeypatch):
    path = tmp_path / "grows.json"
    path.write_bytes(b"x" * 100)
    before = path.stat()
    path.write_bytes(b"x" * 10_000)
    monkeypatch.setattr(Path, "stat", lambda *_args, **_options: before)

    with pytest.raises(OSError, match="is larger than 200 bytes"):
        read_file(path, 200)


def test_a_file_of_the_largest_size_is_read(tmp_path):
    (tmp_path / "full.json").write_bytes(b"x" * 200)

    assert len(read_file(tmp_path / "full.json", 200)) == 200


def edit(folder, **changes):
    """Change the manifest as its version allows."""
    path = folder / "manifest.json"
    changed = json.loads(path.read_text()) | changes
    draft = Manifest.model_validate_json(path.read_text()).model_copy(update=changes)
    if "pad_token_id" in changes or "temperature" in changes:
        changed["version"] = draft.content_version()
    path.write_text(json.dumps(changed))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bytes", 10**400),
        ("bytes", -1),
        ("parameters", 10**400),
        ("parameters", 2**53 + 1),
        ("pad_token_id", 2**31),
        ("temperature", 1e-300),
        ("temperature", 1e300),
        ("temperature", float("inf")),
        ("logit_tolerance", float("inf")),
        ("build_seconds", {"train": float("nan")}),
    ],
)
def test_a_number_that_no_bundle_has_is_refused_by_its_name(folder, field, value):
    edit(folder, **{field: value})

    with pytest.raises(BundleError, match=field):
        read_bundle(folder)


@pytest.mark.parametrize("literal", ["1e400", "-1e400", "NaN", "Infinity"])
@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Estimate, '{"value": 0.5, "low": 0.5, "high": HERE}'),
        (Temperature, '{"temperature": HERE}'),
        (Traffic, '{"tiny": {"canary": {"version": "0123456789abcdef", "weight": HERE}}}'),
        (Policy, '{"min_accuracy": HERE}'),
    ],
)
def test_no_file_holds_a_number_that_is_not_finite(model, text, literal):
    with pytest.raises(BundleError):
        parse(model, text.replace("HERE", literal), "file.json")


def test_the_shipped_bundles_are_within_all_bounds(tmp_path):
    shutil.copytree(SHIPPED_REGISTRY, tmp_path / "registry")

    found = scan([tmp_path / "registry"])

    assert found.refused == {}
    assert len(found.bundles["sentiment"]) >= 2


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(OSError, match="is not a file"):
        read_file(tmp_path / "pipe")
