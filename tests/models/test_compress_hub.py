"""`compress hub:OWNER/NAME`, which huggingface_hub itself reads from a cache, offline."""

import json
import os
import shutil
import subprocess
import sys
import tomllib

import pytest

from models.recipe import read_recipe
from tests.support.processes import ROOT
from tests.support.tiny_models import write_sources

COMMIT = "a" * 40
# The look, the recipes and the data are what reads the hub's files; training has its own tests.
UNTIL_TRAINING = """
import sys
from models.__main__ import main
from models.compression import command
command.Run.make_all = lambda run: sys.exit(0)
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a table of texts, and the cache `hf/` that has `owner/tiny` alone."""
    folder = tmp_path_factory.mktemp("home")
    sources = write_sources(folder / "sources")
    cached = folder / "hf/hub/models--owner--tiny"
    shutil.copytree(sources / "base", cached / f"snapshots/{COMMIT}")
    (cached / "refs").mkdir()
    (cached / "refs/main").write_text(COMMIT)
    lines = (sources / "sentences/movies.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    table = ({"text": r["text"], "label": "good" if r["rating"] > 0 else "bad"} for r in rows)
    (folder / "films.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    return folder


def compress(home, source):
    environ = os.environ | {
        "PYTHONPATH": str(ROOT), "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    command = [sys.executable, "-c", UNTIL_TRAINING, "compress", source, "--data", "films.jsonl"]
    return subprocess.run(
        command, cwd=home, env=environ, capture_output=True, text=True, check=False
    )


def test_a_model_of_the_hub_is_looked_at_and_named_in_the_recipes(home):
    ran = compress(home, "hub:owner/tiny")

    assert ran.returncode == 0, ran.stderr
    assert "hub:owner/tiny is a classifier of other labels (LABEL_0, LABEL_1)" in ran.stdout
    recipe = home / "recipes/films/teacher-fp32.toml"
    assert tomllib.loads(recipe.read_text())["train"]["base"] == "hub:owner/tiny"
    assert read_recipe(recipe).train.max_length == 16
    assert "to beat on validation, bag of words" in ran.stdout


def test_a_name_that_is_not_in_the_cache_is_one_line(home):
    ran = compress(home, "hub:owner/absent")

    assert ran.returncode == 2
    (said,) = ran.stderr.strip().splitlines()
    assert said.startswith("hub:owner/absent is not a model that transformers can load: ")
