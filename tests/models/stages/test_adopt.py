"""A user's own classifier, of every architecture, adopted, exported and served."""

import json
import random

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from models.data.labelled import read_labels
from models.pipeline import Pipeline
from models.recipe import RecipeError, lineage
from models.runners import RUNNERS
from serving.bundles.bundle import read_bundle
from serving.inference.engine import Resources
from serving.inference.ort_engine import OrtEngine
from serving.inference.tokenizer import Tokenizer
from tests.support.tiny_architectures import ARCHITECTURES, write_classifier
from tests.support.tiny_models import BAD, GOOD, NOUNS

LABELS = ("warm", "cold", "mild")
RECIPE = """
family = "own"
[data]
files = ["days.jsonl"]
label = "mood"
test_share = 0.3
validation_share = 0.2
calibration_share = 0.2
[adopt]
folder = "classifier"
max_length = 32
"""
TEXTS = ["the plot was dull", "a superb film", "camera", "the battery was flimsy a noisy phone"]

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


@pytest.fixture
def made(tmp_path):
    """Runs the stages of an adopting recipe; returns the variant's build folder."""

    def _made(stages=("data", "adopt", "export"), recipe=RECIPE, labels=LABELS):
        chosen = random.Random(0)
        rows = [
            {
                "text": f"the {chosen.choice(NOUNS)} {n} was {chosen.choice(GOOD + BAD)}",
                "mood": labels[n % len(labels)],
            }
            for n in range(120)
        ]
        (tmp_path / "days.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "teacher.toml").write_text(recipe)
        pipeline = Pipeline(tmp_path / "build", tmp_path / "downloads", RUNNERS)
        ancestors = tuple(lineage(tmp_path / "teacher.toml"))
        for stage in stages:
            pipeline.make(ancestors, stage)
        return tmp_path / "build" / "own" / "teacher"

    return _made


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_adopted_classifier_is_served_as_torch_answers(made, tmp_path, architecture, capsys):
    folder = write_classifier(tmp_path / "classifier", architecture, LABELS)

    bundle = read_bundle(made() / "export")

    assert bundle.manifest.labels == list(LABELS)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    encodings = Tokenizer(bundle.tokenizer_path, 32).encode(TEXTS)
    together = OrtEngine(bundle, Resources("cpu", threads=1)).run(encodings)
    for encoding, answer in zip(encodings, together, strict=True):
        with torch.no_grad():
            expected = model(torch.tensor([encoding.ids])).logits[0].numpy()
        assert np.abs(answer - expected).max() < 1e-4
    known = "onnxruntime's optimiser does not know" not in capsys.readouterr().out
    assert known == ("deberta" not in architecture and architecture != "modernbert")


def test_the_data_s_labels_take_the_model_s_order(made, tmp_path):
    write_classifier(tmp_path / "classifier", "bert", LABELS)

    assert read_labels(made(stages=("data",)) / "data").names == LABELS


def test_a_model_of_other_labels_is_refused(made, tmp_path):
    write_classifier(tmp_path / "classifier", "bert", ("LABEL_0", "LABEL_1"))

    with pytest.raises(RecipeError, match=r"labels are LABEL_0, LABEL_1, but .* cold, mild, warm"):
        made(stages=("data",))


def test_a_model_without_a_trained_head_is_refused(made, tmp_path):
    folder = write_classifier(tmp_path / "classifier", "bert", LABELS)
    AutoModelForSequenceClassification.from_pretrained(folder).bert.save_pretrained(folder)

    with pytest.raises(RecipeError, match="BertModel, not ForSequenceClassification"):
        made(stages=("data",))

    _edit(folder / "config.json", {"architectures": ["BertForSequenceClassification"]})
    with pytest.raises(RecipeError, match=r"has no trained classifier\.bias"):
        made(stages=("data", "adopt"))


def test_a_multi_label_model_of_single_label_data_is_refused(made, tmp_path):
    folder = write_classifier(tmp_path / "classifier", "bert", LABELS)
    _edit(folder / "config.json", {"problem_type": "multi_label_classification"})

    with pytest.raises(RecipeError, match="is for multi_label_classification"):
        made(stages=("data", "adopt"))


def test_a_length_that_the_model_cannot_read_is_refused(made, tmp_path):
    write_classifier(tmp_path / "classifier", "roberta", LABELS)

    with pytest.raises(RecipeError, match=r"max_length 65 is more than the 64 tokens"):
        made(recipe=RECIPE.replace("max_length = 32", "max_length = 65"))


def test_a_folder_without_tokenizer_json_is_refused_with_the_remedy(made, tmp_path):
    folder = write_classifier(tmp_path / "classifier", "bert", LABELS)
    (folder / "tokenizer.json").unlink()

    with pytest.raises(RecipeError, match=r"no tokenizer\.json: write it with `AutoTokenizer"):
        made()


def test_a_folder_that_is_no_model_is_refused(made, tmp_path):
    (tmp_path / "classifier").mkdir()

    with pytest.raises(RecipeError, match="not a model that transformers can load"):
        made(stages=("data",))


def test_another_model_in_the_folder_is_adopted_anew(made, tmp_path):
    folder = write_classifier(tmp_path / "classifier", "bert", LABELS)
    before = (made() / "adopt" / "model.safetensors").read_bytes()
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        model.classifier.bias[0] += 1
    model.save_pretrained(folder)

    assert (made() / "adopt" / "model.safetensors").read_bytes() != before


def _edit(path, changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
