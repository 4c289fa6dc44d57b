import pytest
import torch

from models.recipe import RecipeError
from models.stages.sparsify import masked, zero_weights
from models.training.architecture import layer_of, load_classifier
from serving.bundles.bundle import read_bundle

SPARSIFY = """
[sparsify]
sparsity = 0.8
epochs = 4
learning_rate = 5e-3
batch_texts = 16
"""

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


@pytest.fixture(scope="module")
def made(tone):
    tone.make("sparse", SPARSIFY, ["sparsify", "export"])
    return tone


def matrices(model):
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and layer_of(f"{name}.weight") is not None
    ]


def test_the_stated_share_of_the_matrices_is_zero_after_training(made):
    student = load_classifier(made.folder("sparse", "sparsify"))

    zeros, weights = zero_weights(matrices(student))

    assert zeros == round(0.8 * weights)
    assert made.validated(made.folder("sparse", "sparsify")) >= 0.9


def test_the_smallest_weights_are_the_ones_that_go(made):
    model = load_classifier(made.teacher)
    before = torch.cat([m.weight.flatten() for m in matrices(model)]).abs()

    masked(model, 0.8)

    after = torch.cat([m.weight.flatten() for m in matrices(model)])
    assert before[after == 0].max() <= before[after != 0].min()


def test_zeros_save_no_bytes(made):
    parent = read_bundle(made.folder("teacher-fp32", "export")).manifest
    sparse = read_bundle(made.folder("sparse", "export")).manifest

    assert sparse.files["model.onnx"].bytes == parent.files["model.onnx"].bytes
    assert sparse.parameters == parent.parameters


def test_a_model_without_layers_is_refused(made):
    model = load_classifier(made.teacher)
    model.bert.encoder.layer = torch.nn.ModuleList()

    with pytest.raises(RecipeError, match="bert has no layers with matrices"):
        masked(model, 0.5)
