"""A trained tiny teacher, and a way to make variants of it."""

from dataclasses import dataclass, replace
from pathlib import Path

from models.pipeline import Pipeline
from models.recipe import lineage
from models.runners import RUNNERS
from models.training.architecture import load_classifier
from models.training.validation import validation
from serving.inference.tokenizer import Tokenizer
from tests.support.tiny_models import write_sources
from tests.support.tiny_recipes import TEACHER

HEAD = 'family = "tone"\nparent = "{parent}"\n'


@dataclass(frozen=True)
class Tone:
    """The family `tone` in the making: teacher-fp32 has its data, its weights and its graph."""

    pipeline: Pipeline
    recipes: Path

    def folder(self, variant, stage):
        return self.pipeline.build / "tone" / variant / stage

    @property
    def data(self):
        return self.folder("teacher-fp32", "data")

    @property
    def teacher(self):
        return self.folder("teacher-fp32", "train")

    def make(self, variant, section, stages, *, parent="teacher-fp32", runners=RUNNERS):
        """Run stages of a variant; return the folder of the last one."""
        recipe = self.recipes / f"{variant}.toml"
        recipe.write_text(HEAD.format(parent=parent) + section)
        pipeline = replace(self.pipeline, runners=runners)
        for stage in stages:
            pipeline.make(tuple(lineage(recipe)), stage)
        return self.folder(variant, stages[-1])

    def validated(self, folder):
        """The accuracy of weights on the validation split."""
        tokenizer = Tokenizer(folder / "tokenizer.json", 32)
        return validation(load_classifier(folder), tokenizer, self.data)()


def train_teacher(folder):
    recipes = folder / "recipes"
    recipes.mkdir()
    (recipes / "teacher-fp32.toml").write_text(TEACHER)
    pipeline = Pipeline(folder / "build", write_sources(folder / "sources"), RUNNERS)
    for stage in ("data", "train", "export"):
        pipeline.make(tuple(lineage(recipes / "teacher-fp32.toml")), stage)
    return Tone(pipeline, recipes)
