from copy import copy
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from serving.bundles.bundle import read_bundle
from serving.errors import BundleError
from serving.inference.engine import Resources
from serving.inference.engine_selection import choose
from serving.inference.openvino_engine import OpenVinoEngine
from serving.inference.ort_engine import OrtEngine
from serving.inference.packing import lay_out
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


class Packs(OrtEngine):
    """Has rows of several texts, whose cells cost `shared_s` each; other cells take 10 us."""

    packed = True
    shared_s = 1e-5

    def unpacked(self):
        other = copy(self)
        other.packed = False
        return other

    def run(self, batch):
        cells = lay_out(tuple(item.length for item in batch), packed=self.packed).cells
        CLOCK.advance(1e-4 + cells * (self.shared_s if self.packed else 1e-5))
        return super().run(batch)


class PacksSlowly(Packs):
    shared_s = 1.5e-5


class PacksABitSlowly(Packs):
    shared_s = 1.01e-5


class Off(OrtEngine):
    def run(self, batch):
        return super().run(batch) + 0.5


def unable(words):
    """An engine that says so of a bundle."""

    class Says(OrtEngine):
        def __init__(self, bundle, _resources):
            raise BundleError(words(bundle))

    return Says


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
        bundle, tokenizer, asked, resources,
        max_batch_tokens=64, engines=engines, clock=CLOCK, cpu_clock=CLOCK,
    )  # fmt: skip


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


@pytest.mark.parametrize("words", [
    lambda bundle: f"{bundle.model_path} does not load",
    lambda bundle: f"Load model from {bundle.model_path.resolve()} failed: {bundle.folder}/w.bin",
    lambda bundle: f"{bundle.folder.absolute() / 'w.bin'} is a link that leads out of it",
    lambda bundle: f"w.bin is a link that leads out of {bundle.folder}",
    lambda bundle: f"{bundle.path('tokenizer.json')} is not the one that belongs to it",
])  # fmt: skip
@pytest.mark.parametrize("how", ["relative", "absolute", "linked", "elsewhere"])
def test_a_reason_names_files_but_not_where_they_lie(tmp_path, monkeypatch, how, words):
    place = tmp_path / "secret" / "place"
    write_bundle(place / "tiny")
    monkeypatch.chdir(place)
    (tmp_path / "link").symlink_to(place)
    folder = {"relative": Path("tiny"), "linked": tmp_path / "link" / "tiny"}.get(
        how, place / "tiny"
    )
    bundle = read_bundle(folder)
    if how == "elsewhere":
        blobs = tmp_path / "secret" / "blobs"
        write_bundle(blobs)
        files = tuple((name, blobs / name) for name in bundle.manifest.files)
        bundle = replace(bundle, elsewhere=files)

    reason = chosen(bundle, onnxruntime=OrtEngine, openvino=unable(words)).reason

    assert "openvino cannot: " in reason
    assert not any(part in reason for part in ("secret", "place", "blobs", "link/", "/", "\\"))
    assert any(name in reason for name in ("model.onnx", "w.bin", "tokenizer.json"))


def test_the_reason_of_a_graph_that_openvino_cannot_read_has_no_folder(tmp_path):
    write_bundle(tmp_path / "tiny")
    model = onnx.load(tmp_path / "tiny/model.onnx")
    model.graph.node[-1].output[0] = "before"
    node = onnx.helper.make_node("CDist", ["before", "before"], ["after"], domain="com.microsoft")
    model.graph.node.extend(
        [node, onnx.helper.make_node("MatMul", ["after", "before"], ["logits"])]
    )
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, tmp_path / "tiny/model.onnx")

    reason = chosen(
        read_bundle(tmp_path / "tiny"), onnxruntime=OrtEngine, openvino=OpenVinoEngine
    ).reason

    assert reason.startswith("openvino cannot: model.onnx: OpenVINO cannot read it: ")
    assert str(tmp_path) not in reason


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


@pytest.mark.parametrize(
    ("made", "packed"), [(Packs, True), (PacksABitSlowly, True), (PacksSlowly, False)]
)
@pytest.mark.parametrize("asked", ["onnxruntime", "auto"])
def test_texts_get_rows_of_their_own_where_that_is_clearly_faster(bundle, made, packed, asked):
    choice = chosen(bundle, asked, onnxruntime=made)

    assert choice.lane.packed == choice.engine.packed == packed
    said = "texts share rows, one a row was only" if packed else "one text a row, at least 1."
    assert said in choice.reason
    assert choice.engine.run(encoded([4], [5, 4])).shape == (2, 2)


def test_a_lone_text_and_a_batch_have_the_same_layout(bundle):
    class FasterWidePacksSlowly(PacksSlowly):
        def run(self, batch):
            CLOCK.advance(0.004 * self.slots)
            return super().run(batch)

    choice = chosen(bundle, "onnxruntime", Resources("cpu", 2), onnxruntime=FasterWidePacksSlowly)

    assert "one text a row" in choice.reason
    assert "a single text gets all cores" in choice.reason
    assert not choice.engine.packed
    began_s = CLOCK()
    choice.engine.run(encoded([4] * 100))
    tick_s = 1e-4
    assert CLOCK() - began_s - tick_s == pytest.approx(0.004 + 1e-4 + 100 * 1e-5)
