"""A family's cascade and decisions made anew for its next versions."""

import json
from functools import partial

import pytest

from models.__main__ import main
from models.cascade import build as cascade_build
from models.recipe import RecipeError
from models.retraining import calibration
from models.retraining.calibration import calibrate, has_calibrated_files
from models.retraining.family_files import check_family_files
from serving.bundles.cascade import Cascade
from serving.bundles.decisions import Decisions
from serving.bundles.registry import publish, read_registry
from tests.support.bundles import write_bundle
from tests.support.tone_family import READS, cascade_options, measured, write_tone


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The family `tone` with a cascade and decisions, and in next/ a new version of `small`."""
    write_tone(tmp_path)
    cascade_build.run(cascade_options(tmp_path), tmp_path / "reports", measured)
    monkeypatch.setattr("models.__main__.BUILD", tmp_path / "build")
    limit = ["--label", "positive", "--max-false-positive-rate", "0.2", "--engine", "onnxruntime"]
    paths = ["--registry", str(tmp_path / "registry"), "--output", str(tmp_path / "reports")]
    assert main(["decide", "tone", *limit, *paths]) == 0
    for variant in ("large", "medium"):
        publish(tmp_path / variant, tmp_path / "next")
    write_bundle(tmp_path / "new", variant="small", max_length=READS["small"], scale=1.5)
    publish(tmp_path / "new", tmp_path / "next")
    monkeypatch.setattr(
        calibration.cascade_build, "run", partial(cascade_build.run, measure=measured)
    )
    return tmp_path


def run(home):
    calibrate(home / "registry/tone", home / "next/tone", home / "build", home / "reports")


def test_they_are_made_with_the_targets_they_had_and_fit_the_new_versions(home, capsys):
    assert has_calibrated_files(home / "registry/tone")
    manifests = [each.manifest for each in read_registry(home / "next")["tone"]]

    run(home)

    assert "labelled texts that somebody chose, as in feedback, are none" in capsys.readouterr().out
    for name, kind in (("cascade.json", Cascade), ("decisions.json", Decisions)):
        old, new = (
            kind.model_validate_json((home / each / "tone" / name).read_text())
            for each in ("registry", "next")
        )
        asked = "target" if name == "cascade.json" else "targets"
        assert getattr(old, asked) == getattr(new, asked)
        assert old != new
    check_family_files(home / "next/tone", home / "registry/tone", manifests)
    looks = (home / "registry/tone/cascade-looks.jsonl").read_text()
    assert len(looks.splitlines()) == 2, "a look at the texts is logged where the family is"


def test_what_cannot_be_made_names_the_file_and_what_to_do(home):
    path = home / "registry/tone/cascade.json"
    made = json.loads(path.read_text())
    made["target"]["max_loss"] = 1e-3
    made |= {"loss": 0.0, "bound": 1e-3}
    path.write_text(json.dumps(made))

    with pytest.raises(RecipeError, match=r"cascade\.json cannot be made .*or remove it"):
        run(home)


def test_a_family_without_them_needs_none(home):
    for name in ("cascade.json", "decisions.json", "cascade-looks.jsonl"):
        (home / "registry/tone" / name).unlink()

    run(home)

    assert not has_calibrated_files(home / "next/tone")
