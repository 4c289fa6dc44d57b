import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.bundles.bundle import read_bundle
from serving.errors import BundleError, EngineFailed, StartError
from serving.inference.engine import Resources
from serving.inference.ort_engine import OrtEngine, provider_options
from tests.support import cuda
from tests.support.bundles import VOCABULARY, WEIGHTS, encoded, write_bundle

HAS_CUDA = cuda.usable()
IDS = st.lists(st.integers(0, len(VOCABULARY) - 1), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(folder)
    return OrtEngine(read_bundle(folder), Resources("cpu", threads=2))


@settings(deadline=None)
@given(st.lists(IDS, min_size=1, max_size=16))
def test_padding_and_company_do_not_change_an_answer(engine, batch):
    logits = engine.run(encoded(*batch))

    expected = [sum(WEIGHTS.get(VOCABULARY[i], 0.0) for i in ids) for ids in batch]
    np.testing.assert_allclose(logits[:, 1], expected)
    np.testing.assert_allclose(logits[:, 0], np.negative(expected))


def test_there_are_as_many_slots_as_threads(engine):
    assert engine.slots == 2


def test_small_requests_may_take_cores_from_what_runs(engine):
    assert engine.preempts


@pytest.mark.skipif(HAS_CUDA, reason="CUDA is here, so asking for it is right")
def test_a_device_that_is_not_there_stops_the_start_instead_of_falling_back(tmp_path):
    write_bundle(tmp_path)

    with pytest.raises(StartError, match="SIZEWISE_DEVICE"):
        OrtEngine(read_bundle(tmp_path), Resources("cuda", threads=2))


def test_the_gpu_memory_limit_reaches_the_cuda_provider():
    limited = provider_options(Resources("cuda", threads=2, gpu_memory_bytes=2_000_000_000))

    assert limited["gpu_mem_limit"] == "2000000000"
    assert "gpu_mem_limit" not in provider_options(Resources("cuda", threads=2))
    assert not provider_options(Resources("cpu", threads=2, gpu_memory_bytes=2_000_000_000))


def test_an_id_outside_the_vocabulary_is_an_engine_failure_and_not_a_crash(engine):
    with pytest.raises(EngineFailed):
        engine.run(encoded([len(VOCABULARY)]))

    assert engine.run(encoded([4])).shape == (1, 2)


def test_a_graph_that_answers_nan_is_an_error_and_not_an_answer(tmp_path):
    write_bundle(tmp_path, scale=float("nan"))
    engine = OrtEngine(read_bundle(tmp_path), Resources("cpu", threads=1))

    with pytest.raises(EngineFailed, match="non-finite"):
        engine.run(encoded([4]))


def test_a_graph_with_other_inputs_is_refused_by_name(tmp_path):
    write_bundle(tmp_path)
    model = onnx.load(tmp_path / "model.onnx")
    model.graph.input[1].name = "something"
    model.graph.node[1].input[0] = "something"
    onnx.save(model, tmp_path / "model.onnx")

    with pytest.raises(BundleError, match="something"):
        OrtEngine(read_bundle(tmp_path), Resources("cpu", threads=1))


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_CUDA, reason="no CUDA device")
def test_cuda_gives_the_answers_of_the_cpu(tmp_path):
    write_bundle(tmp_path)
    batch = [[4, 5, 6], [7], [8, 9, 4, 4, 4]]

    on_cuda = OrtEngine(read_bundle(tmp_path), Resources("cuda", threads=2)).run(encoded(*batch))

    on_cpu = OrtEngine(read_bundle(tmp_path), Resources("cpu", threads=2)).run(encoded(*batch))
    np.testing.assert_allclose(on_cuda, on_cpu, atol=1e-3)
