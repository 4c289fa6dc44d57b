from dataclasses import replace

import pytest

from models.pipeline import Pipeline
from models.recipe import lineage
from tests.support.sources import copy_sources
from tests.support.tiny_models import write_sources
from tests.support.tiny_recipes import TEACHER

STAGES = ("data", "train", "export")


def write(job):
    (job.output / "made.txt").write_text(job.recipe.variant)


def made(pipeline, recipe):
    """The stages that were not up to date."""
    return [stage for stage in STAGES if pipeline.make(tuple(lineage(recipe)), stage)]


@pytest.fixture
def changed(tmp_path):
    """A pipeline that has made everything before the code of training changed.

    A model may have labelled the data, and export compares with it.
    """
    code = copy_sources(tmp_path / "code")
    sources = write_sources(tmp_path / "sources")
    pipeline = Pipeline(tmp_path / "build", sources, dict.fromkeys(STAGES, write), root=code)
    recipe = tmp_path / "teacher-fp32.toml"
    recipe.write_text(TEACHER)
    assert made(pipeline, recipe) == list(STAGES)
    tool = code / "models" / "training" / "loop.py"
    tool.write_text(tool.read_text() + "\nADDED = 1\n")
    return pipeline, recipe


def test_weights_are_made_again_with_changed_code(changed):
    assert made(*changed) == ["data", "train", "export"]


def test_weights_can_be_kept_and_what_is_made_of_them_is_not(changed):
    pipeline, recipe = changed

    assert made(replace(pipeline, keep_trained=True), recipe) == ["data", "export"]


def test_kept_weights_are_made_again_when_the_recipe_changes(changed):
    pipeline, recipe = changed
    recipe.write_text(TEACHER.replace("epochs = 12", "epochs = 13"))

    assert made(replace(pipeline, keep_trained=True), recipe) == ["data", "train", "export"]
