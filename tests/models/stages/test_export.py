import json

import onnx
import pytest
import torch
from transformers import BertConfig, FNetConfig, FNetForSequenceClassification
from transformers.activations import ACT2CLS

from models.data.labelled import split_path
from models.job import Job
from models.recipe import RecipeError, read_recipe
from models.stages.export import run
from models.training.architecture import empty_classifier, resized
from serving.bundles.bundle import read_bundle
from tests.support.tiny_architectures import write_classifier
from tests.support.tiny_models import write_base
from tests.support.tiny_recipes import TEACHER

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves
LABELS = ("negative", "positive")


@pytest.fixture
def exported(tmp_path):
    """Exports a folder of weights; returns the bundle."""

    def _exported(weights):
        data, output = tmp_path / "data", tmp_path / "output"
        data.mkdir()
        output.mkdir()
        (tmp_path / "teacher.toml").write_text(TEACHER)
        texts = ["the plot was dull", "a superb film", "the noisy phone was broken"] * 4
        rows = (json.dumps({"text": text, "labels": [0]}) + "\n" for text in texts)
        split_path(data, "validation").write_text("".join(rows))
        about = {"labels": LABELS, "problem_type": "single_label", "counts": {}}
        (data / "data.json").write_text(json.dumps(about))
        recipe = read_recipe(tmp_path / "teacher.toml")
        run(Job((recipe,), {"data": data, "weights": weights}, output, {}))
        return read_bundle(output)

    return _exported


@pytest.mark.parametrize("kept_heads", [1, 2, 3])
def test_a_model_with_fewer_heads_than_its_width_holds_is_fused(exported, tmp_path, kept_heads):
    folder = write_base(tmp_path / "weights")
    config = BertConfig.from_pretrained(
        folder, num_attention_heads=4, id2label=dict(enumerate(LABELS))
    )
    torch.manual_seed(0)
    empty_classifier(resized(config, heads=kept_heads)).save_pretrained(folder)

    bundle = exported(folder)

    (attention, _) = (
        node for node in onnx.load(bundle.model_path).graph.node if node.op_type == "Attention"
    )
    (heads,) = (each.i for each in attention.attribute if each.name == "num_heads")
    assert heads == kept_heads


# PReLU and XIELU have weights of their own, which BERT does not make.
@pytest.mark.parametrize("activation", sorted(set(ACT2CLS) - {"prelu", "xielu"}))
def test_every_spelling_of_an_activation_is_exported_as_torch_answers(
    exported, tmp_path, activation, capsys
):
    folder = write_classifier(tmp_path / "weights", "bert", LABELS)
    config = BertConfig.from_pretrained(folder, hidden_act=activation)
    torch.manual_seed(0)
    empty_classifier(config).save_pretrained(folder)

    exported(folder)

    assert "logits of ONNX and torch differ by at most" in capsys.readouterr().out


def test_a_text_that_the_tokenizer_cannot_read_is_named(exported, tmp_path):
    folder = write_classifier(tmp_path / "weights", "bert", LABELS)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["unk_token"] = "[NOT THERE]"
    path.write_text(json.dumps(content))

    with pytest.raises(RecipeError, match="the tokenizer cannot read the text 'a super'"):
        exported(folder)  # a text that is cut in a word that it knows


def test_a_model_that_onnx_cannot_express_is_refused(exported, tmp_path, capfd):
    folder = write_classifier(tmp_path / "weights", "bert", LABELS)
    config = FNetConfig(
        vocab_size=30,
        hidden_size=32,
        num_hidden_layers=1,
        intermediate_size=64,
        id2label=dict(enumerate(LABELS)),
    )
    FNetForSequenceClassification(config).save_pretrained(folder)

    with pytest.raises(RecipeError, match="torch cannot export FNetForSequenceClassification"):
        exported(folder)

    assert "Torch IR graph" not in capfd.readouterr().out
