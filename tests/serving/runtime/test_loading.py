"""A bundle that was measured is neither tried nor measured again."""

import json

import pytest

from serving.bundles.bundle import read_bundle
from serving.bundles.traffic import Deployments
from serving.errors import BundleError
from serving.runtime import loading
from serving.runtime.local import LocalRuntime
from serving.runtime.trial import Trials
from serving.settings import Settings
from tests.support.bundles import write_bundle


@pytest.fixture
def settings(tmp_path):
    return Settings(tuning=tmp_path / "tuning", engine="onnxruntime", threads=1)


def bundle_of(folder, scale=1.0):
    write_bundle(folder, scale=scale)
    return read_bundle(folder)


async def loaded(settings, *bundles, served=0):
    """Load bundles with a new runtime, which serves after so many; return how the last is run."""
    runtime = LocalRuntime(settings)
    try:
        for number, bundle in enumerate(bundles, 1):
            await runtime.load(bundle)
            if number == served:
                await runtime.serve(Deployments(revision=1))
        (*_, last) = runtime.running.values()
        return last
    finally:
        runtime.close()


async def test_the_next_start_runs_it_alike_without_a_trial(tmp_path, settings, monkeypatch):
    bundles = [bundle_of(tmp_path / str(scale), scale) for scale in (1.0, 2.0)]
    first = await loaded(settings, *bundles)
    assert len(list(settings.tuning.iterdir())) == 2

    monkeypatch.setattr(Trials, "engines", lambda *_args, **_named: pytest.fail("tried"))
    monkeypatch.setattr(loading, "measured", lambda *_args, **_named: pytest.fail("measured"))
    again = await loaded(settings, *bundles)

    assert again.text_ms == first.text_ms
    assert (again.engine, again.max_batch_tokens) == (first.engine, first.max_batch_tokens)


async def test_another_content_is_tried(tmp_path, settings, monkeypatch):
    await loaded(settings, bundle_of(tmp_path / "old"))
    tried = []
    engines = Trials.engines
    monkeypatch.setattr(
        Trials,
        "engines",
        lambda self, bundle, **how: tried.append(bundle) or engines(self, bundle, **how),
    )
    new = bundle_of(tmp_path / "new", scale=3.0)

    await loaded(settings, new)

    assert tried == [new]


async def test_a_file_that_does_not_fit_is_tried_measured_and_replaced(tmp_path, settings):
    bundle = bundle_of(tmp_path / "bundle")
    await loaded(settings, bundle)
    (path,) = settings.tuning.iterdir()
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(kept | {"pace_s": 100.0}))

    await loaded(settings, bundle)

    assert json.loads(path.read_text())["pace_s"] == pytest.approx(kept["pace_s"], rel=10)


async def test_what_is_measured_beside_traffic_is_not_kept(tmp_path, settings):
    first, second = (bundle_of(tmp_path / str(scale), scale) for scale in (1.0, 2.0))

    await loaded(settings, first, second, served=1)

    (path,) = settings.tuning.iterdir()
    assert path.name.startswith(first.manifest.version)


async def test_nothing_of_a_bundle_is_opened_before_it_is_tried(tmp_path, settings, monkeypatch):
    opened = []
    monkeypatch.setattr(loading, "open_tokenizer", opened.append)

    def engines(*_arguments, **_named):
        assert not opened
        raise BundleError("it was tried")

    monkeypatch.setattr(Trials, "engines", engines)

    with pytest.raises(BundleError, match="it was tried"):
        await loaded(settings, bundle_of(tmp_path / "bundle"))
