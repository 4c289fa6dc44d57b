"""`python -m serving tune` on the tiny family, with real engines and trials."""

import io
import json
import shutil

import pytest

from serving.errors import StartError
from serving.runtime.tuner import tune
from serving.settings import Settings
from tests.support.bundles import write_bundle


@pytest.fixture
def registry(tmp_path):
    for scale, variant in enumerate(("tiny", "wide"), 1):
        write_bundle(tmp_path / "registry/tone" / variant, variant=variant, scale=scale)
    return tmp_path / "registry"


def tuned(registry, **settings):
    """The screen and the output of one run."""
    given = {"tuning": registry.parent / "tuning", "engine": "onnxruntime", "threads": 1}
    screen, output = io.StringIO(), io.StringIO()
    tune(Settings(registry=(registry,), **given | settings), screen, output)
    return screen.getvalue(), output.getvalue()


def test_each_served_bundle_gets_a_file_and_a_row(registry):
    shutil.copytree(registry / "tone/tiny", registry / "tone/tiny@previous")

    screen, output = tuned(registry)

    assert "1 of 2: tone/wide\n" in screen
    assert screen.endswith("2 of 2: done\n")
    header, tiny, wide, kept, following = output.splitlines()
    assert header.split()[:3] == ["variant", "engine", "threads"]
    assert tiny.startswith("tone/tiny  onnxruntime  1 runs of 1")
    assert wide.startswith("tone/wide")
    assert kept == f"Kept in {registry.parent / 'tuning'}."
    assert f"python -m serving --registry {registry}" in following
    assert len(list((registry.parent / "tuning").iterdir())) == 2


def test_a_canary_that_is_only_named_by_traffic_json_is_tuned_too(registry):
    canary = registry / "tone/tiny@next"
    version = write_bundle(canary, variant="tiny", scale=3.0).version
    traffic = {"tiny": {"canary": {"version": version, "weight": 0.1}}}
    (registry / "tone/traffic.json").write_text(json.dumps(traffic))

    tuned(registry)

    names = {path.name.split("-")[0] for path in (registry.parent / "tuning").iterdir()}
    assert version in names
    assert len(names) == 3


def test_a_broken_bundle_is_listed_and_the_others_are_tuned(registry):
    (registry / "tone/wide/model.onnx").write_bytes(b"broken")

    screen, output = tuned(registry)

    assert f"Not tuned: {registry / 'tone/wide'}: " in screen
    assert "tone/tiny" in output
    assert "tone/wide" not in output


def test_nothing_to_keep_is_an_error(registry):
    with pytest.raises(StartError, match="SIZEWISE_TUNING is empty"):
        tuned(registry, tuning="")
    (registry.parent / "file").touch()
    with pytest.raises(StartError, match="nothing could be tuned"):
        tuned(registry, tuning=registry.parent / "file")
