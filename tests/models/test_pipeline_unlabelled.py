from models.pipeline import Pipeline
from models.recipe import lineage
from models.stages import data
from tests.support.tiny_models import write_sources
from tests.support.tiny_recipes import TEACHER, write_recipes

STEPS = [("teacher-fp32", "data"), ("teacher-fp32", "train"), ("student-fp32", "distill")]


def write(job):
    (job.output / "made.txt").write_text(job.recipe.variant)


def test_more_unlabelled_texts_train_the_student_again_and_not_its_teacher(tmp_path):
    recipes = write_recipes(tmp_path / "recipes")
    runners = {"data": data.run, "train": write, "distill": write}
    pipeline = Pipeline(tmp_path / "build", write_sources(tmp_path / "sources"), runners)

    def made():
        return [
            (variant, stage)
            for variant, stage in STEPS
            if pipeline.make(tuple(lineage(recipes / f"{variant}.toml")), stage)
        ]

    assert made() == STEPS
    assert made() == []
    fewer = TEACHER.replace(', "fetched:sentences/news.jsonl"', "")
    assert fewer != TEACHER
    (recipes / "teacher-fp32.toml").write_text(fewer)

    assert made() == [("teacher-fp32", "data"), ("student-fp32", "distill")]
