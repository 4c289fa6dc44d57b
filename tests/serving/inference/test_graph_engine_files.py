"""The files of a bundle change under an engine that runs."""

import os
import sys
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest

from serving.bundles.bundle import read_bundle, write_manifest
from serving.inference.engine import Resources
from serving.inference.openvino_engine import OpenVinoEngine
from serving.inference.ort_engine import OrtEngine
from tests.support.bundles import encoded, write_bundle

TEXTS = encoded([2, 4, 3], [2, 5, 9, 3])


def in_one_file(_folder):
    pass


def in_two_files(folder):
    model = onnx.load(folder / "model.onnx")
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="weights.bin",
              size_threshold=64)  # fmt: skip


def of_openvino(folder):
    model = openvino.Core().read_model(folder / "model.onnx")
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    (folder / "model.onnx").unlink()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what is mapped")
@pytest.mark.parametrize(
    ("layout", "engine"),
    [
        (in_one_file, OrtEngine),
        (in_two_files, OrtEngine),
        (in_one_file, OpenVinoEngine),
        (in_two_files, OpenVinoEngine),
        (of_openvino, OpenVinoEngine),
    ],
)
def test_an_engine_answers_as_before_when_its_files_are_emptied(tmp_path, layout, engine):
    kept = dict(write_bundle(tmp_path, ballast_bytes=1 << 16))
    layout(tmp_path)
    for computed in ("version", "bytes", "files"):
        del kept[computed]
    write_manifest(tmp_path, **kept)
    running = engine(read_bundle(tmp_path), Resources("cpu", threads=1))
    before = running.run(TEXTS).copy()

    # First, since a mapped file that is emptied would end this process.
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()
    for path in tmp_path.iterdir():
        os.truncate(path, 0)
    np.testing.assert_array_equal(running.run(TEXTS), before)
