"""A transformer's graph on each device that the engine runs on, beside the CPU in fp32."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from loadtest.measure.workload import seeded_texts
from serving.bundles.bundle import read_bundle
from serving.bundles.probabilities import softmax
from serving.inference.engine import Resources
from serving.inference.ort_engine import OrtEngine
from serving.inference.tokenizer import open_tokenizer
from serving.settings import SHIPPED_REGISTRY
from tests.support import cuda
from tests.support.minilm import TINY, write_minilm
from tests.support.processes import serving

ON_CUDA = (
    pytest.mark.gpu,
    pytest.mark.skipif(not cuda.usable(), reason="no CUDA device"),
)
DEVICES = ("cpu", pytest.param("cuda", marks=ON_CUDA))
# Of logits around 1; TF32, which CUDA may use for fp32, keeps ten bits as fp16 does.
TOLERANCE = 0.01
TEXTS = seeded_texts(48, seed=1)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """The same random weights by precision, in a registry."""
    registry = tmp_path_factory.mktemp("registry")
    like = read_bundle(SHIPPED_REGISTRY / "sentiment" / "medium-int8")
    return {
        precision: write_minilm(
            registry / "random" / precision, like, family="random", variant=precision,
            precision=precision, shape=TINY,
        )
        for precision in ("fp32", "fp16")
    }  # fmt: skip


@pytest.fixture(scope="module")
def encodings(bundles):
    return open_tokenizer(bundles["fp32"]).encode(TEXTS)


@pytest.fixture(scope="module")
def expected(bundles, encodings):
    """Each text by itself, on the CPU in fp32."""
    engine = OrtEngine(bundles["fp32"], Resources("cpu", threads=1))
    return np.concatenate([engine.run([encoding]) for encoding in encodings])


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("device", DEVICES)
def test_a_packed_batch_has_the_logits_of_each_text_alone_on_the_cpu(
    bundles, encodings, expected, device, precision
):
    engine = OrtEngine(bundles[precision], Resources(device, threads=2))

    logits = engine.run(encodings)

    assert engine.packed
    assert np.ptp(expected, axis=0).min() > 5 * TOLERANCE, "the texts are all alike"
    np.testing.assert_allclose(logits, expected, atol=TOLERANCE)


@pytest.mark.parametrize("device", DEVICES)
def test_batches_that_run_at_the_same_time_do_not_touch_each_other(
    bundles, encodings, expected, device
):
    engine = OrtEngine(bundles["fp16"], Resources(device, threads=2))
    starts = [start % 40 for start in range(0, 400, 7)]
    batches = [slice(start, start + 1 + start % 8) for start in starts]

    assert engine.preempts == (device == "cpu"), "more batches would need more of a GPU's memory"
    with ThreadPoolExecutor(engine.slots) as threads:
        found = list(threads.map(lambda batch: engine.run(encodings[batch]), batches))

    for batch, logits in zip(batches, found, strict=True):
        np.testing.assert_allclose(logits, expected[batch], atol=TOLERANCE)


@pytest.mark.parametrize("device", DEVICES)
def test_a_server_with_http_processes_answers_what_the_engine_computes(bundles, expected, device):
    bundle = bundles["fp16"]
    registry = bundle.folder.parents[1]
    settings = {"device": device, "http_processes": 2, "variants": "fp16"}

    with serving(registry, **settings) as server:
        answer = server.classify({"texts": TEXTS, "variant": "fp16"}).json()

    scores = [list(result["scores"].values()) for result in answer["results"]]
    wanted = [softmax(row, bundle.manifest.temperature) for row in expected.tolist()]
    assert np.ptp(wanted, axis=0).min() > 2 * TOLERANCE, "the texts are all alike"
    np.testing.assert_allclose(scores, wanted, atol=TOLERANCE)
