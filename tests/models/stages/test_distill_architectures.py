"""Students of architectures that are cut by their weights' names alone."""

import json
import random

import pytest
import torch

from models.pipeline import Pipeline
from models.recipe import RecipeError, lineage
from models.runners import RUNNERS
from models.training.architecture import load_classifier
from tests.support.tiny_architectures import write_classifier
from tests.support.tiny_models import BAD, GOOD, NOUNS

TEACHER = """
family = "own"
[data]
files = ["days.jsonl"]
test_share = 0.3
validation_share = 0.2
calibration_share = 0.2
[adopt]
folder = "classifier"
max_length = 32
"""
# It hardly changes a weight.
STUDENT = """
family = "own"
parent = "teacher"
[distill]
layers = [1]
epochs = 1
learning_rate = 1e-9
temperature = 2.0
hidden_weight = 1.0
label_weight = 0.3
"""

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


@pytest.fixture
def distilled(tmp_path):
    """Adopts a classifier of an architecture and cuts a student; returns both folders."""

    def _distilled(architecture):
        write_classifier(tmp_path / "classifier", architecture, ("bad", "good"))
        chosen = random.Random(0)
        rows = [
            {"text": f"the {noun} was {chosen.choice(words)} a {number}", "label": label}
            for number in range(5)
            for noun in NOUNS
            for words, label in ((GOOD, "good"), (BAD, "bad"))
        ]
        (tmp_path / "days.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "teacher.toml").write_text(TEACHER)
        (tmp_path / "student.toml").write_text(STUDENT)
        pipeline = Pipeline(tmp_path / "build", tmp_path / "downloads", RUNNERS)
        teacher, student = lineage(tmp_path / "student.toml")
        for stage in ("data", "adopt"):
            pipeline.make((teacher,), stage)
        pipeline.make((teacher, student), "distill")
        build = tmp_path / "build/own"
        return build / "teacher/adopt", build / "student/distill"

    return _distilled


def test_the_layers_of_a_gpt2_student_are_those_of_the_recipe(distilled):
    teacher, student = map(load_classifier, distilled("gpt2"))

    own = student.transformer.h[0].attn.c_attn.weight
    torch.testing.assert_close(own, teacher.transformer.h[1].attn.c_attn.weight)
    assert student.config.num_hidden_layers == len(student.transformer.h) == 1


def test_the_layers_of_a_modernbert_student_keep_their_kinds(distilled):
    teacher, student = map(load_classifier, distilled("modernbert"))

    assert teacher.config.layer_types == ["full_attention", "sliding_attention"]
    assert student.config.layer_types == ["sliding_attention"]
    torch.testing.assert_close(
        student.model.layers[0].attn.Wqkv.weight, teacher.model.layers[1].attn.Wqkv.weight
    )


def test_a_student_of_bart_is_refused(distilled):
    with pytest.raises(RecipeError, match="layers: those of bart cannot be cut: use a model of"):
        distilled("bart")
