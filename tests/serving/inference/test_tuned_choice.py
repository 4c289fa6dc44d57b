"""An engine that an earlier start chose, on real engines and files."""

import json

import pytest

from serving.bundles.bundle import read_bundle
from serving.errors import BundleError
from serving.inference import tuned_choice, tuning
from serving.inference.engine_selection import ENGINES
from serving.inference.ort_engine import OrtEngine
from serving.inference.single_text_engine import SingleTextEngine
from serving.inference.tokenizer import Tokenizer
from serving.inference.tuned_choice import keep, kept_tuning, measured, restored
from serving.settings import Settings
from tests.support.bundles import encoded, write_bundle


class Off(OrtEngine):
    def run(self, batch):
        return super().run(batch) + 0.5


class Unable(OrtEngine):
    def __init__(self, *_):
        raise BundleError("it has an operator that I do not know")


class Kept:
    """A bundle whose choice was kept, on one engine and two threads."""

    def __init__(self, folder, **settings):
        write_bundle(folder / "bundle")
        self.bundle = read_bundle(folder / "bundle")
        self.tokenizer = Tokenizer(self.bundle.tokenizer_path, self.bundle.manifest.max_length)
        given = {"tuning": folder / "tuning", "engine": "onnxruntime", "threads": 2}
        self.settings = Settings(max_batch_tokens=64, **given | settings)
        self.chosen = measured(self.bundle, self.tokenizer, self.settings)
        keep(self.chosen, self.bundle, self.tokenizer, self.settings)

    def restored(self, engines=ENGINES, **options):
        tuning = kept_tuning(self.bundle, self.settings)
        loading = self.bundle, self.tokenizer, self.settings
        return restored(tuning, *loading, engines=engines, **options) if tuning else None

    @property
    def path(self):
        (path,) = (self.settings.tuning).iterdir()
        return path

    def edit(self, **fields):
        self.path.write_text(json.dumps(json.loads(self.path.read_text()) | fields))


@pytest.fixture
def it(tmp_path):
    return Kept(tmp_path)


@pytest.fixture
def log(monkeypatch):
    said = []
    for module in (tuned_choice, tuning):
        monkeypatch.setattr(module, "log", lambda event, **fields: said.append((event, fields)))
    return said


def test_what_is_restored_is_what_was_measured(it, log):
    again, chosen = it.restored(beside_traffic=True), it.chosen

    assert not log
    assert (again.name, again.cost, again.wide) == (chosen.name, chosen.cost, chosen.wide)
    assert again.lane.max_batch_tokens == chosen.lane.max_batch_tokens
    assert again.lane.packed == again.engine.packed == chosen.lane.packed
    assert again.lane.share_s(7) == chosen.lane.share_s(7)
    assert again.reason == f"{chosen.reason}; measured at an earlier start"
    batch = encoded([4], [5, 4])
    assert (again.engine.run(batch) == chosen.engine.run(batch)).all()


def test_fifty_starts_decide_alike(it):
    found = [it.restored(beside_traffic=True) for _ in range(50)]

    assert len({(each.name, each.cost, each.lane.max_batch_tokens) for each in found}) == 1


def test_of_auto_only_the_chosen_engine_is_loaded(tmp_path):
    it = Kept(tmp_path, engine="auto")
    others = dict.fromkeys(ENGINES.keys() - {it.chosen.name}, Unable)

    restored = it.restored(engines=ENGINES | others, beside_traffic=True)
    assert restored.name == it.chosen.name


def test_a_copy_for_single_texts_is_restored(it):
    it.edit(wide=True)

    assert isinstance(it.restored(beside_traffic=True).engine, SingleTextEngine)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"pace_s": 100.0}, "times as long"),
        ({"pace_s": 1e-9}, "times as long"),
        ({"logits": [[0.3, 0.2]]}, "logits differ by up to"),
        ({"logits": [[0.1, 0.2, 0.3]]}, "other probes or labels"),
        ({"packed": True}, "cannot pack texts"),
    ],
)
def test_what_no_longer_fits_is_not_restored(it, log, fields, said):
    it.edit(**fields)

    assert it.restored() is None
    ((event, its),) = log
    assert event == "tuning does not fit"
    assert said in its["reason"]


@pytest.mark.parametrize(
    ("engine", "said"), [(Off, "logits differ by up to 5.0e-01"), (Unable, "operator")]
)
def test_an_engine_that_has_changed_is_not_restored(it, log, engine, said):
    assert it.restored(engines={"onnxruntime": engine}) is None
    assert said in log[0][1]["reason"]


def test_beside_traffic_the_time_of_a_batch_is_not_compared(it):
    it.edit(pace_s=100.0)

    assert it.restored(beside_traffic=True)


def test_an_empty_setting_keeps_nothing(tmp_path):
    (tmp_path / "here").mkdir()
    it = Kept(tmp_path / "here", tuning="")

    assert it.restored() is None
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["bundle"]


def test_what_cannot_be_kept_is_served_all_the_same(tmp_path, log):
    (tmp_path / "file").touch()

    assert Kept(tmp_path, tuning=tmp_path / "file").chosen.engine.run(encoded([4])).shape == (1, 2)
    assert [event for event, _ in log] == ["tuning not kept"]
