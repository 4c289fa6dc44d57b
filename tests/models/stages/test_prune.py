import numpy as np
import onnx
import pytest
import torch

from models.recipe import RecipeError
from models.recipe_sections import PruneSection
from models.stages.prune import pruned
from models.training.architecture import load_classifier
from models.training.loop import padded
from serving.bundles.bundle import read_bundle
from serving.inference.engine import Resources
from serving.inference.ort_engine import OrtEngine
from tests.support.bundles import encoded
from tests.support.tiny_architectures import write_classifier

PRUNE = """
[prune]
keep_heads = 0.5
keep_intermediate = 0.5
keep_layers = 0.5
epochs = 4
learning_rate = 5e-3
batch_texts = 16
"""
SECTION = PruneSection(
    keep_heads=0.5, keep_intermediate=0.5, epochs=1, learning_rate=1e-3, batch_texts=8
)

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


@pytest.fixture(scope="module")
def made(tone):
    tone.make("pruned", PRUNE, ["prune", "export"])
    return tone


def test_what_is_pruned_is_gone_from_the_weights_and_the_rest_still_answers(made):
    parent = load_classifier(made.teacher)
    student = load_classifier(made.folder("pruned", "prune"))

    layers = parent.config.num_hidden_layers
    assert student.config.num_hidden_layers == layers // 2
    (layer,) = student.bert.encoder.layer
    assert layer.attention.self.query.weight.shape == (16, 32)
    assert layer.intermediate.dense.weight.shape == (32, 32)
    assert student.num_parameters() < parent.num_parameters()
    assert made.validated(made.folder("pruned", "prune")) >= 0.9


def test_the_pruned_graph_has_fewer_bytes_and_answers_as_torch(made):
    parent = read_bundle(made.folder("teacher-fp32", "export"))
    bundle = read_bundle(made.folder("pruned", "export"))
    model = load_classifier(made.folder("pruned", "prune"))
    batch = [[2, 8, 9, 3], [2, 10, 3]]

    logits = OrtEngine(bundle, Resources("cpu", threads=1)).run(encoded(*batch))

    with torch.inference_mode():
        expected = model(**padded(batch)).logits.numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert bundle.manifest.files["model.onnx"].bytes < parent.manifest.files["model.onnx"].bytes
    assert bundle.manifest.parameters == sum(p.numel() for p in model.parameters())
    kinds = [node.op_type for node in onnx.load(bundle.model_path).graph.node]
    assert kinds.count("Attention") == 1


def test_a_pruned_variant_can_be_pruned_and_distilled_again(made):
    section = PRUNE.replace("keep_heads = 0.5\n", "").replace("epochs = 4", "epochs = 1")
    again = made.make("again", section, ["prune"], parent="pruned")

    model = load_classifier(again)
    assert model.config.kept_heads == 1
    assert model.config.num_hidden_layers == 1


def test_an_architecture_whose_weights_are_not_known_is_refused(tmp_path):
    model = load_classifier(write_classifier(tmp_path / "it", "deberta", ("bad", "good")))

    with pytest.raises(RecipeError, match="prune: deberta is not supported"):
        pruned(model, SECTION, iter([]))


def test_every_layer_keeps_the_same_number_and_never_none(tmp_path):
    model = load_classifier(write_classifier(tmp_path / "it", "roberta", ("bad", "good")))
    little = SECTION.model_copy(update={"keep_heads": 0.01, "keep_intermediate": 0.01})
    loss = model(**padded([[2, 5, 3], [2, 6, 3]])).logits.square().sum()

    small = pruned(model, little, iter([loss]))

    assert small.config.kept_heads == 1
    assert small.config.intermediate_size == 32
    assert {layer.attention.self.key.weight.shape for layer in small.roberta.encoder.layer} == {
        (16, 32)
    }
