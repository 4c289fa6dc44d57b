import subprocess
import sys

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.bundles.bundle import read_bundle
from serving.errors import BundleError, EngineFailed, StartError
from serving.inference.engine import Resources
from serving.inference.openvino_engine import OpenVinoEngine
from serving.inference.ort_engine import OrtEngine
from tests.support.bundles import VOCABULARY, encoded, write_bundle

IDS = st.lists(st.integers(0, len(VOCABULARY) - 1), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(folder)
    return read_bundle(folder)


@pytest.fixture(scope="module")
def engines(bundle):
    return OpenVinoEngine(bundle, Resources("cpu", threads=2)), OrtEngine(
        bundle, Resources("cpu", threads=2)
    )


@settings(deadline=None)
@given(st.lists(IDS, min_size=1, max_size=16))
def test_it_answers_as_onnx_runtime_does(engines, batch):
    openvino, onnxruntime = engines

    texts = encoded(*batch)
    np.testing.assert_allclose(openvino.run(texts), onnxruntime.run(texts), atol=1e-4)


def test_there_are_as_many_slots_as_threads(engines):
    assert engines[0].slots == 2


def test_no_more_batches_run_than_there_are_slots(engines):
    assert not engines[0].preempts


def test_another_device_is_refused_at_the_start(bundle):
    with pytest.raises(StartError, match="onnxruntime"):
        OpenVinoEngine(bundle, Resources("cuda", threads=2))


def test_a_graph_that_answers_nan_is_an_error_and_not_an_answer(tmp_path):
    write_bundle(tmp_path, scale=float("nan"))
    engine = OpenVinoEngine(read_bundle(tmp_path), Resources("cpu", threads=1))

    with pytest.raises(EngineFailed, match="non-finite"):
        engine.run(encoded([4]))


def test_a_graph_that_it_cannot_read_is_refused_with_the_reason(tmp_path):
    write_bundle(tmp_path)
    model = onnx.load(tmp_path / "model.onnx")
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, tmp_path / "model.onnx")

    with pytest.raises(BundleError, match="NoSuchOperator"):
        OpenVinoEngine(read_bundle(tmp_path), Resources("cpu", threads=1))


FIRST_USE = """
import os, sys, threading
import serving.inference.openvino_engine
import openvino
sys.setswitchinterval(1e-6)
together = threading.Barrier(8)
def first():
    together.wait()
    openvino.Type.i64.to_dtype()
threads = [threading.Thread(target=first, daemon=True) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join(5)
os._exit(any(thread.is_alive() for thread in threads))
"""


def test_threads_that_use_it_first_at_the_same_time_do_not_wait_for_each_other():
    for _ in range(5):
        subprocess.run([sys.executable, "-c", FIRST_USE], timeout=20, check=True)


def test_an_input_keeps_its_name_where_a_cast_behind_it_is_simplified_away(tmp_path):
    write_bundle(tmp_path)
    plain = read_bundle(tmp_path)
    expected = OpenVinoEngine(plain, Resources("cpu", threads=1)).run(encoded([4, 5]))
    model = onnx.load(plain.model_path)
    for node in model.graph.node:
        for at, name in enumerate(node.input):
            if name == "attention_mask":
                node.input[at] = "/cast"
    cast = onnx.helper.make_node("Cast", ["attention_mask"], ["/cast"], to=onnx.TensorProto.INT64)
    model.graph.node.insert(0, cast)
    onnx.save(model, plain.model_path)

    engine = OpenVinoEngine(plain, Resources("cpu", threads=1))

    np.testing.assert_allclose(engine.run(encoded([4, 5])), expected)
