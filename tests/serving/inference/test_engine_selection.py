import pytest

from serving.bundles.bundle import read_bundle
from serving.errors import BundleError
from serving.inference.engine import Resources
from serving.inference.engine_selection import choose
from serving.inference.openvino_engine import OpenVinoEngine
from serving.inference.ort_engine import OrtEngine
from serving.inference.tokenizer import Tokenizer
from tests.support.bundles import encoded, write_bundle
from tests.support.fake_clock import FakeClock

RESOURCES = Resources("cpu", threads=1)
# Each run takes a tick, whatever the machine does, and what an engine adds.
CLOCK = FakeClock(tick_s=1e-4)


class Slow(OrtEngine):
    def run(self, batch):
        CLOCK.advance(0.002)
        return super().run(batch)


class FasterWide(OrtEngine):
    def __init__(self, bundle, resources):
        super().__init__(bundle, resources)
        self._seconds = 0.004 / (resources.threads // self.slots)

    def run(self, batch):
        CLOCK.advance(self._seconds)
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


def chosen(bundle, asked="auto", resources=RESOURCES, **engines):
    tokenizer = Tokenizer(bundle.tokenizer_path, bundle.manifest.max_length)
    return choose(
        bundle, tokenizer, asked, resources, max_batch_tokens=64, engines=engines, clock=CLOCK
    )


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
    assert chosen(bundle, "onnxruntime", onnxruntime=Slow).reason == "requested"


def test_an_engine_that_is_asked_for_and_cannot_is_an_error(bundle):
    with pytest.raises(BundleError, match="operator"):
        chosen(bundle, "openvino", openvino=Unable)


@pytest.mark.parametrize(
    ("made", "threads", "wide"), [(FasterWide, 2, True), (Slow, 2, False), (FasterWide, 1, False)]
)
def test_a_lone_text_gets_all_cores_where_that_is_faster(bundle, made, threads, wide):
    choice = chosen(bundle, "onnxruntime", Resources("cpu", threads), onnxruntime=made)

    assert ("a single text gets all cores" in choice.reason) == wide
    assert choice.engine.slots == threads
    assert choice.engine.run(encoded([4])).shape == (1, 2)
