"""Two runs in one build folder, and what can be asked without running anything."""

import pytest

from models.pipeline import Pipeline, alone_in
from models.recipe import RecipeError, lineage
from models.steps import make_steps
from tests.support.tiny_models import write_sources
from tests.support.tiny_recipes import STUDENT, TEACHER


def write(job):
    (job.output / "made.txt").write_text(job.recipe.variant)


@pytest.fixture
def recipes(tmp_path):
    """A pipeline that only pretends, and the recipes of a teacher and its student."""
    sources = write_sources(tmp_path / "sources")
    for name, content in (("teacher-fp32", TEACHER), ("student-fp32", STUDENT)):
        (tmp_path / f"{name}.toml").write_text(content)
    stages = ("data", "inspect", "train", "export", "distill")
    pipeline = Pipeline(tmp_path / "build", sources, dict.fromkeys(stages, write))
    teacher, student = (
        tuple(lineage(tmp_path / f"{name}.toml")) for name in ("teacher-fp32", "student-fp32")
    )
    return pipeline, teacher, student


def test_a_second_run_at_the_same_family_is_refused(recipes):
    pipeline, teacher, _ = recipes

    def make():
        make_steps(pipeline, [(teacher, "data")], lambda _made: None, goes_on=True)

    with (
        alone_in(pipeline.build / "tone"),
        pytest.raises(RecipeError, match="another run is at work: wait for it or end it"),
    ):
        make()
    assert not pipeline.folder(teacher[-1], "data").exists()

    make()
    assert pipeline.folder(teacher[-1], "data").exists()


def test_a_stage_is_current_once_it_is_made_until_its_recipe_changes(recipes, tmp_path):
    pipeline, teacher, student = recipes
    assert not pipeline.is_current(student, "distill")
    for stage in ("data", "train"):
        pipeline.make(teacher, stage)
    pipeline.make(student, "distill")
    assert pipeline.is_current(student, "distill")

    path = tmp_path / "student-fp32.toml"
    path.write_text(STUDENT.replace("epochs = 8", "epochs = 9"))
    assert not pipeline.is_current(tuple(lineage(path)), "distill")


def test_a_wider_limit_does_not_train_a_student_again(recipes, tmp_path):
    pipeline, teacher, _ = recipes
    path = tmp_path / "student-fp32.toml"
    for stage in ("data", "train"):
        pipeline.make(teacher, stage)
    for max_drop, is_made in ((0.05, True), (0.1, False)):
        path.write_text(STUDENT.replace("seed = 0", f"seed = 0\nmax_drop = {max_drop}"))

        assert pipeline.make(tuple(lineage(path)), "distill") == is_made
