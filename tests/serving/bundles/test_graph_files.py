"""A graph names files: those of the bundle are read, and no others."""

import shutil

import numpy as np
import onnx
import openvino
import pytest

from models.signing import sign
from serving.bundles.bundle import read_bundle, write_manifest
from serving.bundles.graph_files import weights_files
from serving.bundles.one_model import read_as_family
from serving.bundles.registry import publish
from serving.errors import BundleError
from serving.inference.engine import Resources
from serving.inference.openvino_engine import OpenVinoEngine
from serving.inference.ort_engine import OrtEngine
from tests.support.bundles import encoded, write_bundle
from tests.support.signed import new_keys

ENGINES = [OrtEngine, OpenVinoEngine]
TEXTS = encoded([2, 4, 3], [2, 5, 9, 3])


@pytest.fixture
def folder(tmp_path):
    """A bundle with its weights in a file of the manifest."""
    folder = tmp_path / "tone" / "tiny"
    write_bundle(folder)
    model = onnx.load(folder / "model.onnx")
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="weights.bin",
              size_threshold=64)  # fmt: skip
    describe(folder)
    return folder


def describe(folder):
    """Write a manifest that fits the folder's files."""
    kept = read_bundle(folder).manifest.model_dump(exclude={"version", "bytes", "files"})
    return write_manifest(folder, **kept)


def name(folder, location):
    """Make the graph name another file as that of its weights, and the manifest fit."""
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    describe(folder)


def outside(folder):
    shutil.move(folder / "weights.bin", folder.parent / "secret.bin")
    return folder.parent / "secret.bin"


def absolute(folder):
    name(folder, str(outside(folder)))


def above(folder):
    outside(folder)
    name(folder, "../secret.bin")


def roundabout(folder):
    outside(folder)
    (folder / "sub").mkdir()
    name(folder, "sub/../../secret.bin")


def below(folder):
    (folder / "sub").mkdir()
    shutil.move(folder / "weights.bin", folder / "sub" / "weights.bin")
    name(folder, "sub/weights.bin")


def unnamed(folder):
    kept = (folder / "weights.bin").read_bytes()
    (folder / "weights.bin").unlink()
    name(folder, "weights.bin")
    (folder / "weights.bin").write_bytes(kept)


def in_memory(folder):
    name(folder, "*/_ORT_MEM_ADDR_/*")


def linked(folder):
    (folder / "weights.bin").symlink_to(outside(folder))


EVIL = [absolute, above, roundabout, below, unnamed, in_memory, linked]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("change", EVIL)
def test_no_engine_reads_a_file_that_is_none_of_the_bundle(folder, change, engine):
    change(folder)

    with pytest.raises(BundleError, match=r"manifest\.json does not name|leads out"):
        engine(read_bundle(folder), Resources("cpu", threads=1))


@pytest.mark.parametrize("change", EVIL)
def test_such_a_bundle_is_neither_signed_nor_published(tmp_path, folder, change):
    change(folder)
    private, _ = new_keys(tmp_path, "team")

    for use in (lambda: sign(folder, private), lambda: publish(folder, tmp_path / "registry")):
        with pytest.raises(BundleError, match=r"manifest\.json does not name|leads out"):
            use()

    assert not (folder / "manifest.json.sig").exists()
    assert not (tmp_path / "registry" / "tone" / "tiny").exists()


@pytest.mark.parametrize("engine", ENGINES)
def test_weights_that_the_manifest_names_are_read(tmp_path, folder, engine):
    write_bundle(tmp_path / "whole")
    split, whole = (
        engine(read_bundle(each), Resources("cpu", threads=1)).run(TEXTS)
        for each in (folder, tmp_path / "whole")
    )

    np.testing.assert_array_equal(split, whole)


def test_a_graph_under_the_name_of_openvinos_file_is_refused(folder):
    above(folder)
    (folder / "model.onnx").rename(folder / "model.xml")
    (folder / "model.bin").write_bytes(b"")
    describe(folder)

    with pytest.raises(BundleError, match="is no XML"):
        OpenVinoEngine(read_bundle(folder), Resources("cpu", threads=1))


def test_what_openvino_saves_reads_its_own_weights(tmp_path):
    write_bundle(tmp_path)
    model = openvino.Core().read_model(tmp_path / "model.onnx")
    openvino.save_model(model, tmp_path / "model.xml", compress_to_fp16=False)
    (tmp_path / "model.onnx").unlink()
    describe(tmp_path)

    assert weights_files(read_bundle(tmp_path)) == {"model.bin": tmp_path / "model.bin"}


@pytest.fixture
def plain(folder):
    """The folder as others export it, without a manifest."""
    (folder / "manifest.json").unlink()
    return folder


def test_a_plain_folder_is_served_with_the_weights_beside_its_graph(plain):
    engine = OrtEngine(read_as_family(plain), Resources("cpu", threads=1))

    assert engine.run(TEXTS).shape == (2, 2)


def test_the_links_of_a_cache_are_followed_to_the_folder_of_the_graph(plain):
    blobs = plain.parent / "blobs"
    blobs.mkdir()
    for each in ("model.onnx", "weights.bin"):
        shutil.move(plain / each, blobs / each)
        (plain / each).symlink_to(blobs / each)

    engine = OrtEngine(read_as_family(plain), Resources("cpu", threads=1))

    assert engine.run(TEXTS).shape == (2, 2)


def test_a_link_out_of_a_plain_folder_is_refused_before_it_is_read(plain):
    linked(plain)

    with pytest.raises(BundleError, match="leads out"):
        read_as_family(plain)


def test_a_link_that_appears_later_is_refused_when_the_graph_is_loaded(plain):
    bundle = read_as_family(plain)
    linked(plain)

    with pytest.raises(BundleError, match="leads out"):
        OrtEngine(bundle, Resources("cpu", threads=1))
