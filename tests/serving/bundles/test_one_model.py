import gc
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from serving.bundles import one_model
from serving.bundles.bundle import key, verify
from serving.bundles.fingerprint import fingerprint
from serving.bundles.one_model import valid_name
from serving.bundles.registry import read_registry, scan
from serving.errors import BundleError
from serving.inference.engine import Resources
from serving.inference.ort_engine import OrtEngine
from serving.inference.tokenizer import open_tokenizer
from tests.support.bundles import write_bundle


@pytest.fixture
def folder(tmp_path):
    """A Hugging Face folder with an ONNX graph, whose name is no valid name of a family."""
    write_bundle(tmp_path / "My_Model")
    (tmp_path / "My_Model" / "manifest.json").unlink()
    return tmp_path / "My_Model"


def edit(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_the_folder_of_one_model_is_a_registry_of_one(folder):
    ((name, (bundle,)),) = read_registry(folder).items()

    assert name == bundle.manifest.family == bundle.manifest.variant == "my-model"
    verify(bundle)
    (encoding,) = open_tokenizer(bundle).encode(["good film"])
    assert OrtEngine(bundle, Resources("cpu", 1)).run([encoding]).tolist() == [[-1.0, 1.0]]


def test_a_graph_itself_is_a_registry_of_one(folder):
    shutil.copy(folder / "model.onnx", folder / "model_int8.onnx")

    with pytest.raises(BundleError, match=r"2 graphs \(.*SIZEWISE_REGISTRY=PATH"):
        read_registry(folder)
    (bundle,) = read_registry(folder / "model_int8.onnx")["my-model"]
    assert bundle.model_path == folder / "model_int8.onnx"


def test_the_folder_is_only_read(folder):
    edit(folder / "config.json", id2label=None)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    (bundle,) = read_registry(folder)["my-model"]

    assert bundle.manifest.labels == ["LABEL_0", "LABEL_1"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_link_that_leads_nowhere_hides_no_change(folder):
    for name in map(str, range(50)):
        (folder / name).symlink_to("nowhere")
    before = fingerprint([folder])

    assert {path for path, _, _ in before} > {
        str(folder / "model.onnx"),
        str(folder / "config.json"),
    }


def test_a_change_of_the_folder_is_another_version(folder):
    (before,) = scan([folder]).bundles["my-model"]
    seen = fingerprint([folder])
    assert scan([folder]).bundles["my-model"] == [before]

    edit(folder / "config.json", id2label={"0": "dull", "1": "warm"})

    assert fingerprint([folder]) != seen
    (after,) = scan([folder]).bundles["my-model"]
    assert key(after) != key(before)
    assert after.manifest.labels == ["dull", "warm"]


def test_what_was_made_for_an_earlier_state_is_removed_once_nobody_has_it(folder):
    edit(folder / "config.json", id2label=None)
    (before,) = scan([folder]).bundles["my-model"]
    made = before.path("config.json")
    edit(folder / "config.json", pad_token_id=3)

    (after,) = scan([folder]).bundles["my-model"]

    assert made.is_file(), "it is still served"
    verify(before)
    copied = replace(before)
    del before
    gc.collect()
    assert made.is_file()
    del copied
    gc.collect()
    assert not made.parent.exists()
    verify(after)


def test_a_refused_state_leaves_nothing_behind(folder):
    scan([folder])
    scratch = Path(one_model._scratch())
    before = set(scratch.iterdir())
    (folder / "tokenizer.json").write_text("{")

    assert scan([folder]).refused
    assert set(scratch.iterdir()) <= before


def test_a_folder_that_cannot_be_served_is_refused_by_its_own_path(folder):
    (folder / "tokenizer.json").write_text("{")

    found = scan([folder])

    assert list(found.refused) == [str(folder)]
    assert "tokenizer.json is not JSON" in found.refused[str(folder)]
    assert found.bundles == {}


def test_weights_without_a_graph_get_the_sentence_that_helps(folder):
    (folder / "model.onnx").rename(folder / "model.safetensors")

    assert "[adopt]" in scan([folder]).refused[str(folder)]


def test_a_folder_beside_a_registry_is_another_family(folder, tmp_path):
    write_bundle(tmp_path / "made")
    registry = tmp_path / "registry"
    shutil.copytree(tmp_path / "made", registry / "tone" / "tiny")

    assert set(scan([registry, folder]).bundles) == {"tone", "my-model"}
    (registry / "tone").rename(registry / "my-model")
    assert "same name" in scan([registry, folder]).refused[str(folder)]


def test_the_folder_of_a_bundle_is_served_by_its_manifest(tmp_path):
    manifest = write_bundle(tmp_path / "renamed", max_length=7)

    (bundle,) = read_registry(tmp_path / "renamed")["tone"]

    assert bundle.manifest == manifest
    assert bundle.active


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("My_Model", "my-model"),
        ("distilbert.v2", "distilbert.v2"),
        ("--x--", "x"),
        ("模型", "model"),
        ("a" * 80, "a" * 63),
        ("x" * 62 + "-y", "x" * 62),
    ],
)
def test_a_name_is_made_valid(name, valid):
    assert valid_name(name) == valid


def test_a_path_that_is_neither_folder_nor_graph_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()

    for path in (tmp_path / "notes.txt", tmp_path / "nothing"):
        with pytest.raises(BundleError, match="or the folder of one model"):
            scan([path])
