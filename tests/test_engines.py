import time

import pytest

from serving.bundle import read_bundle
from serving.engines import Needs, choose
from serving.errors import BundleError
from serving.openvino_engine import OpenVinoEngine
from serving.ort_engine import OrtEngine
from serving.tokenizer import Tokenizer
from tests.bundles import write_bundle

NEEDS = Needs("cpu", threads=1, max_batch_tokens=64)


class Slow(OrtEngine):
    def run(self, batch):
        time.sleep(0.002)
        return super().run(batch)


class Off(OrtEngine):
    def run(self, batch):
        return super().run(batch) + 0.5


class Unable(OrtEngine):
    def __init__(self, *_):
        raise BundleError("it has an operator that I do not know")


@pytest.fixture
def bundle(tmp_path):
    write_bundle(tmp_path)
    return read_bundle(tmp_path)


def chosen(bundle, asked="auto", **engines):
    tokenizer = Tokenizer(bundle.tokenizer_path, bundle.manifest.max_length)
    return choose(bundle, tokenizer, asked, NEEDS, engines)


def test_auto_takes_the_faster_engine_that_agrees(bundle):
    choice = chosen(bundle, onnxruntime=Slow, openvino=OpenVinoEngine)

    assert choice.name == "openvino"
    assert isinstance(choice.engine, OpenVinoEngine)
    assert "times as fast" in choice.reason


@pytest.mark.parametrize(
    ("reference", "other", "said"),
    [
        (Slow, Off, "logits differ by up to 5.0e-01"),
        (OrtEngine, Slow, "times as fast"),
        (OrtEngine, Unable, "openvino cannot: it has an operator that I do not know"),
    ],
)
def test_auto_keeps_to_the_reference_and_says_why(bundle, reference, other, said):
    choice = chosen(bundle, onnxruntime=reference, openvino=other)

    assert choice.name == "onnxruntime"
    assert said in choice.reason


def test_an_engine_that_is_asked_for_is_taken_however_slow(bundle):
    assert chosen(bundle, "onnxruntime", onnxruntime=Slow).reason == "asked for"


def test_an_engine_that_is_asked_for_and_cannot_is_an_error(bundle):
    with pytest.raises(BundleError, match="operator"):
        chosen(bundle, "openvino", openvino=Unable)
