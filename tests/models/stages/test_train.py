import json
import random

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, DistilBertModel

from models.pipeline import Pipeline
from models.recipe import RecipeError, lineage
from models.runners import RUNNERS
from models.stages.train import class_weights
from models.training.loop import padded
from models.training.validation import validation
from serving.bundles.bundle import read_bundle
from serving.inference.tokenizer import Tokenizer
from tests.support.tiny_architectures import write_classifier
from tests.support.tiny_models import BAD, GOOD, NOUNS, write_base

DATA = """
family = "own"
[data]
files = ["days.jsonl"]
validation_share = 0.2
calibration_share = 0.1
test_share = 0.1
"""
TRAIN = """
[train]
base = "base"
epochs = 12
learning_rate = 3e-3
batch_texts = 16
max_length = 32
"""

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


@pytest.fixture
def made(tmp_path):
    """Trains by a recipe on rows; returns the variant's build folder."""

    def _made(rows, recipe, stages=("data", "train")):
        (tmp_path / "days.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "teacher.toml").write_text(recipe)
        pipeline = Pipeline(tmp_path / "build", tmp_path / "downloads", RUNNERS)
        for stage in stages:
            pipeline.make(tuple(lineage(tmp_path / "teacher.toml")), stage)
        return tmp_path / "build" / "own" / "teacher"

    return _made


def days(count=240, good=0.5):
    chosen = random.Random(0)
    for number in range(count):
        words = {word: chosen.choice(GOOD if chosen.random() < good else BAD) for word in "ab"}
        text = f"the {chosen.choice(NOUNS)} {number} was {words['a']} {words['b']}"
        yield text, words


def validated(folder):
    """The accuracy of the trained folder on validation."""
    model = AutoModelForSequenceClassification.from_pretrained(folder / "train")
    tokenizer = Tokenizer(folder / "train" / "tokenizer.json", 32)
    return validation(model, tokenizer, folder / "data")(), model


def test_several_labels_are_learnt_and_exported(made, tmp_path):
    write_base(tmp_path / "base")
    rows = [
        {
            "text": text,
            "label": sorted({"good" if word in GOOD else "bad" for word in words.values()}),
        }
        for text, words in days()
    ]

    folder = made(rows, DATA + 'problem_type = "multi_label"' + TRAIN, ("data", "train", "export"))

    right, model = validated(folder)
    assert right >= 0.65  # half of the texts have both labels
    assert model.config.problem_type == "multi_label_classification"
    assert read_bundle(folder / "export").manifest.problem_type == "multi_label"


def test_low_rank_adapters_learn_and_are_merged(made, tmp_path):
    write_base(tmp_path / "base")
    rows = [
        {"text": text, "label": "good" if words["a"] in GOOD else "bad"} for text, words in days()
    ]

    folder = made(rows, DATA + TRAIN.replace("3e-3", "1e-2") + "lora_rank = 4\n")

    right, model = validated(folder)
    base = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    assert right >= 0.6
    assert model.state_dict().keys() == base.state_dict().keys()
    learnt, given = model.bert, base.bert
    adapted = [(it.encoder.layer[0].attention.self.query.weight) for it in (learnt, given)]
    frozen = [it.embeddings.word_embeddings.weight for it in (learnt, given)]
    assert torch.linalg.matrix_rank(adapted[0] - adapted[1], rtol=1e-4) == 4
    assert torch.equal(*frozen)


def test_beside_adapters_a_head_that_the_base_lacks_is_learnt_in_full(made, tmp_path):
    folder = write_classifier(tmp_path / "base", "distilbert", ("good", "bad"))
    DistilBertModel.from_pretrained(folder).save_pretrained(folder)
    rows = [
        {"text": text, "label": "good" if words["a"] in GOOD else "bad"} for text, words in days()
    ]

    right, model = validated(made(rows, DATA + TRAIN + "lora_rank = 2\n"))

    assert right >= 0.8
    assert "pre_classifier.weight" in model.state_dict()


def test_balanced_classes_make_the_answer_lean_less_to_the_frequent_one(made, tmp_path):
    write_base(tmp_path / "base")
    rows = [
        {"text": text, "label": "rare" if words["a"] in GOOD else "frequent"}
        for text, words in days(good=0.1)
    ]

    leanings = []
    for weights in ("none", "balanced"):
        few = TRAIN.replace("epochs = 12", "epochs = 2") + f'class_weights = "{weights}"\n'
        model = validated(made(rows, DATA + few))[1]
        with torch.no_grad():
            logits = model(**padded([list(range(6, 20))])).logits[0]
        leanings.append(float(logits[0] - logits[1]))

    assert leanings[1] < leanings[0] - 0.5


def test_balanced_weights_make_every_label_count_alike():
    truth = np.array([[1, 0]] * 9 + [[0, 1]], dtype=bool)

    single = class_weights(truth, "single_label")
    several = class_weights(truth, "multi_label")

    assert (single * torch.tensor([9, 1])).tolist() == pytest.approx([5, 5])
    assert several.tolist() == pytest.approx([1 / 9, 9])


def test_a_base_that_is_no_model_is_refused(made, tmp_path):
    (tmp_path / "base").mkdir()
    rows = [{"text": text, "label": "ab"[n % 2]} for n, (text, _) in enumerate(days())]

    with pytest.raises(RecipeError, match="base is not a base model that transformers can load"):
        made(rows, DATA + TRAIN)


def test_a_base_that_does_not_know_the_texts_words_is_refused_unless_that_is_allowed(
    made, capsys, tmp_path
):
    """With an English base three Chinese runs ended in the majority class."""
    write_base(tmp_path / "base")
    words = (BAD[0], GOOD[0])
    rows = [
        {"text": f"\u8fd9\u90e8 {words[n % 2]} \u7535\u5f71 {n}", "label": str(n % 2)}
        for n in range(120)
    ]

    with pytest.raises(RecipeError, match=r"does not know \d+% of the texts' tokens.*static"):
        made(rows, DATA + TRAIN)
    assert "tokens that the base does not know: " in capsys.readouterr().out

    made(rows, DATA + TRAIN.replace("epochs = 12", "epochs = 1\nmax_unknown_share = 1.0"))
