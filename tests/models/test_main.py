import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models.__main__ import main
from serving.bundles.registry import read_registry
from tests.support.tiny_models import write_sources
from tests.support.tiny_recipes import TEACHER

ROOT = Path(__file__).parents[2]
CHILD = 'family = "tone"\nparent = "teacher"\n'
HURRIED = "max_accuracy_drop = 0.9\n[evaluate]\nallow_below_baseline = true\n"
TRAINED = """
epochs = 1
learning_rate = 3e-3
batch_texts = 16
temperature = 2.0
hidden_weight = 1.0
label_weight = 0.3
"""
ALL = (sys.executable, "-m", "models", "all", "recipes")


def test_a_broken_recipe_ends_with_status_2_and_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.toml").write_text('family = "tone"\nflavour = 1\n')

    assert main(["all", "odd.toml"]) == 2

    refusal = capsys.readouterr().err
    assert "flavour" in refusal
    assert len(refusal.splitlines()) == 1


def test_an_unusable_folder_is_not_imported(tmp_path, capsys):
    options = ["--family", "f", "--variant", "v", "--registry", str(tmp_path / "registry")]

    assert main(["import", str(tmp_path), *options]) == 2

    assert "export the model to ONNX" in capsys.readouterr().err


def test_an_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["prime"])

    assert "invalid choice" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "used"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_sleep_unless_the_environment_says_otherwise(
    monkeypatch, tmp_path, given, used
):
    monkeypatch.setenv("OMP_WAIT_POLICY", given or "")
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")

    assert main(["report", "none", "--registry", str(tmp_path)]) == 2
    assert os.environ["OMP_WAIT_POLICY"] == used


@pytest.fixture
def own(tmp_path):
    """A user's folder: recipes/teacher.toml beside a table and a base model."""
    sources = write_sources(tmp_path / "recipes")
    recipe = TEACHER.replace("fetched:", "").replace("epochs = 12", "epochs = 2")
    hurried = "[evaluate]\nallow_below_baseline = true\n"
    (sources / "teacher.toml").write_text(f"{recipe}\n{hurried}")
    return tmp_path


@pytest.mark.parametrize(
    ("end", "status", "says"),
    [
        (signal.SIGKILL, -signal.SIGKILL, ""),
        (signal.SIGINT, 130, "Stopped: the same command goes on from what is done\n"),
    ],
)
def test_a_killed_build_goes_on_where_it_was(own, end, status, says):
    options = {"cwd": own, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "text": True}

    def built():
        return subprocess.run(ALL, check=True, capture_output=True, **options).stdout

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(ALL, **pipes, **options) as building:
        told = list(iter(lambda: next(building.stdout), f"{_started('train', 3)}\n"))
        building.send_signal(end)
        assert building.stderr.read() == says
    assert building.returncode == status
    assert f"{_started('data', 1)}\n" in told
    assert not (own / "build" / "tone" / "teacher" / "train").exists()

    resumed = built()

    assert "teacher: data is up to date (1 of 6" in resumed
    assert _started("train", 3) in resumed
    (bundle,) = read_registry(own / "build" / "registry")["tone"]
    assert f"Published build/registry/tone/teacher, version {bundle.manifest.version}" in resumed
    again = built()
    assert again.count(" is up to date (") == 6
    assert "teacher: package is up to date (6 of 6, about " in again


def test_a_refused_variant_stops_only_what_is_made_from_it(own, monkeypatch, capsys):
    monkeypatch.chdir(own)
    for name, lines in {
        "teacher": (own / "recipes/teacher.toml").read_text() + "min_accuracy = 1\n",
        "int8": f"{CHILD}[quantize]\n{HURRIED}",
        "broken": f"{CHILD}[distill]\nseed = 0\nlayers = [9]\n{TRAINED}",
        "broken-int8": 'family = "tone"\nparent = "broken"\n[quantize]\nmax_accuracy_drop = 0.9\n',
    }.items():
        (own / f"recipes/{name}.toml").write_text(lines)

    assert main(["all", "recipes"]) == 2

    said = capsys.readouterr()
    (last,) = said.err.strip().splitlines()[-1:]
    assert last.startswith("not published: teacher: ")
    assert "below min_accuracy 1" in last
    assert "; broken: " in last
    assert last.endswith("; broken-int8: is made from broken")
    assert "Published build/registry/tone/int8" in said.out
    (bundle,) = read_registry(own / "build" / "registry")["tone"]
    assert bundle.manifest.variant == "int8"


def _started(stage, number):
    return f"teacher: {stage} ({number} of 6, more than 0 s left)"


def test_one_stage_of_one_recipe_is_run_alone(own, monkeypatch, capsys):
    monkeypatch.chdir(own)

    assert main(["data", "recipes/teacher.toml"]) == 0

    about = json.loads((own / "build" / "tone" / "teacher" / "data" / "data.json").read_text())
    assert about["labels"] == ["negative", "positive"]
    assert "Next: python -m models all recipes/teacher.toml" in capsys.readouterr().out
    assert not (own / "build" / "tone" / "teacher" / "train").exists()


def test_a_stage_whose_input_is_missing_says_what_to_run(own, monkeypatch, capsys):
    monkeypatch.chdir(own)

    assert main(["train", "recipes"]) == 2

    assert "which does not exist: run `python -m models all recipes`" in capsys.readouterr().err
