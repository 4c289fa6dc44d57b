"""A user's own classifier, of every architecture, adopted, exported and served."""

import json
import random

import numpy as np
import onnx
import pytest
import torch
from transformers import AutoModelForSequenceClassification, ConvBertConfig

from models.data.labelled import read_labels
from models.graphs.packing import PACKABLE
from models.pipeline import Pipeline
from models.recipe import RecipeError, lineage
from models.runners import RUNNERS
from serving.bundles.bundle import read_bundle, verify
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


def assert_answers_as_torch(bundle, folder, texts):
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    encodings = Tokenizer(bundle.tokenizer_path, 32).encode(texts)
    together = OrtEngine(bundle, Resources("cpu", threads=1)).run(encodings)
    for encoding, answer in zip(encodings, together, strict=True):
        with torch.no_grad():
            expected = model(torch.tensor([encoding.ids])).logits[0].numpy()
        assert np.abs(answer - expected).max() < 1e-4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_adopted_classifier_is_served_as_torch_answers(made, tmp_path, architecture, capsys):
    folder = write_classifier(tmp_path / "classifier", architecture, LABELS)

    bundle = read_bundle(made() / "export")

    assert bundle.manifest.labels == list(LABELS)
    assert_answers_as_torch(bundle, folder, TEXTS)
    known = "onnxruntime's optimiser does not know" not in capsys.readouterr().out
    assert known == (architecture in PACKABLE)


def test_an_unknown_word_that_is_the_padding_token_has_its_own_position(made, tmp_path):
    folder = write_classifier(tmp_path / "classifier", "roberta", LABELS, unknown="<pad>")

    bundle = read_bundle(made() / "export")

    assert "text_ids" in {node.name for node in onnx.load(bundle.model_path).graph.input}
    assert_answers_as_torch(bundle, folder, [*TEXTS, "the unheard of plot was dull"])


@pytest.mark.parametrize("saved", [torch.float16, torch.bfloat16])
def test_a_classifier_that_was_saved_in_half_precision_is_exported_in_fp32(made, tmp_path, saved):
    folder = write_classifier(tmp_path / "classifier", "bert", LABELS)
    AutoModelForSequenceClassification.from_pretrained(folder).to(saved).save_pretrained(folder)

    bundle = read_bundle(made() / "export")

    assert_answers_as_torch(bundle, folder, TEXTS)


def test_labels_that_save_pretrained_leaves_out_are_in_the_bundle(made, tmp_path):
    default = ("LABEL_0", "LABEL_1")
    folder = write_classifier(tmp_path / "classifier", "bert", default)
    assert "id2label" not in json.loads((folder / "config.json").read_text())

    bundle = read_bundle(made(labels=default) / "export")

    verify(bundle)
    assert bundle.manifest.labels == list(default)
    assert_answers_as_torch(bundle, folder, TEXTS)


def test_a_sigmoid_of_one_label_is_adopted_as_multi_label(made, tmp_path):
    folder = write_classifier(tmp_path / "classifier", "bert", ("rain",))
    config = json.loads((folder / "config.json").read_text())
    recipe = RECIPE.replace(
        'label = "mood"', 'label = "mood"\nproblem_type = "multi_label"\nseparator = "|"'
    )
    assert config.get("problem_type") is None

    with pytest.raises(RecipeError, match="one label, so its answer is yes or no: set `problem_"):
        made(stages=("data",), labels=("rain", ""))
    bundle = read_bundle(made(labels=("rain", ""), recipe=recipe) / "export")

    assert (bundle.manifest.labels, bundle.manifest.problem_type) == (["rain"], "multi_label")
    assert_answers_as_torch(bundle, folder, TEXTS)


def test_a_regression_model_is_refused_before_the_texts_are_read(made, tmp_path, capsys):
    folder = write_classifier(tmp_path / "classifier", "bert", ("score",))
    _edit(folder / "config.json", {"problem_type": "regression"})

    with pytest.raises(RecipeError, match="regression model, whose answer is a value"):
        made(stages=("data",))

    assert "train:" not in capsys.readouterr().out


def test_a_decoder_without_a_padding_token_is_told_to_name_one(made, tmp_path):
    folder = write_classifier(tmp_path / "classifier", "gpt2", LABELS)
    _edit(folder / "config.json", {"pad_token_id": None})

    with pytest.raises(RecipeError, match=r"no padding token is defined: set `pad_token_id` in"):
        made()


def test_answers_that_depend_on_the_padding_of_a_batch_are_refused(made, tmp_path):
    config = ConvBertConfig(
        vocab_size=40,
        hidden_size=32,
        embedding_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        initializer_range=0.3,
        pad_token_id=1,
    )
    write_classifier(tmp_path / "classifier", config, LABELS)

    with pytest.raises(RecipeError, match="convbert, or its answers depend on the padding"):
        made()


def test_a_byte_order_mark_is_left_out_of_the_tokenizer_and_named_in_the_config(made, tmp_path):
    folder = write_classifier(tmp_path / "classifier", "bert", LABELS)
    for name in ("tokenizer.json", "config.json"):
        content = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(content, encoding="utf-8-sig")

    with pytest.raises(RecipeError, match=r"config\.json begins with a byte order mark"):
        made(stages=("data",))

    config = (folder / "config.json").read_text(encoding="utf-8-sig")
    (folder / "config.json").write_text(config, encoding="utf-8")
    assert_answers_as_torch(read_bundle(made() / "export"), folder, TEXTS)


def test_weights_that_do_not_fit_the_config_are_refused(made, tmp_path):
    folder = write_classifier(tmp_path / "classifier", "bert", LABELS)
    _edit(folder / "config.json", {"intermediate_size": 48})

    with pytest.raises(RecipeError, match="transformers cannot load the weights"):
        made(stages=("data", "adopt"))


def test_the_data_s_labels_take_the_model_s_order(made, tmp_path):
    write_classifier(tmp_path / "classifier", "bert", LABELS)

    assert read_labels(made(stages=("data",)) / "data").names == LABELS


def test_a_model_of_other_labels_is_refused(made, tmp_path):
    write_classifier(tmp_path / "classifier", "bert", ("LABEL_0", "LABEL_1"))

    with pytest.raises(RecipeError, match=r"^'cold' .* not among .* \(LABEL_0, LABEL_1\)"):
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
