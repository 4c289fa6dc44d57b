"""A trained tiny teacher, and a way to make variants of it.

It does not know how a variant is compressed; a test's recipe says that.
"""

from dataclasses import dataclass
from pathlib import Path

from models.data.labelled import read_labels, read_split, targets
from models.pipeline import Workshop
from models.recipe import lineage
from models.training.architecture import load_classifier
from models.training.loop import accuracy
from serving.inference.tokenizer import Tokenizer
from tests.support.tiny_models import write_sources
from tests.support.tiny_recipes import TEACHER

HEAD = 'family = "tone"\nparent = "{parent}"\n'


@dataclass(frozen=True)
class Tone:
    """The family `tone` in the making: teacher-fp32 has its data, its weights and its graph."""

    workshop: Workshop
    recipes: Path

    def folder(self, variant, stage):
        return self.workshop.build / "tone" / variant / stage

    @property
    def data(self):
        return self.folder("teacher-fp32", "data")

    @property
    def teacher(self):
        return self.folder("teacher-fp32", "train")

    def make(self, variant, section, stages, parent="teacher-fp32"):
        """Run stages of a variant; the folder of the last one."""
        recipe = self.recipes / f"{variant}.toml"
        recipe.write_text(HEAD.format(parent=parent) + section)
        for stage in stages:
            self.workshop.make(tuple(lineage(recipe)), stage)
        return self.folder(variant, stages[-1])

    def validated(self, folder):
        """The accuracy of weights on the validation split."""
        labels = read_labels(self.data)
        rows = read_split(self.data, "validation")
        encoded = Tokenizer(folder / "tokenizer.json", 32).encode([row.text for row in rows])
        ids = [encoding.ids for encoding in encoded]
        return accuracy(load_classifier(folder), ids, targets(rows, labels), labels.problem_type)


def train_teacher(folder):
    recipes = folder / "recipes"
    recipes.mkdir()
    (recipes / "teacher-fp32.toml").write_text(TEACHER)
    workshop = Workshop(folder / "build", write_sources(folder / "sources"))
    for stage in ("data", "train", "export"):
        workshop.make(tuple(lineage(recipes / "teacher-fp32.toml")), stage)
    return Tone(workshop, recipes)
