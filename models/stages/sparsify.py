"""Sets the smallest weights of a parent to zero and trains the rest to answer as the parent.

It does not know how the parent was made. A zero takes as many bytes and as much time as another
number in ONNX Runtime: what this buys is seen only in a compressed download.
"""

import torch
from torch.nn.utils import prune
from transformers import PreTrainedModel

from models.pipeline import Job
from models.recipe import RecipeError
from models.training.architecture import layer_of, load_classifier
from models.training.knowledge_distillation import recover
from models.training.loop import use_all_cores


def run(job: Job) -> None:
    """Write the sparse classifier as a Hugging Face folder.

    Raises RecipeError when the parent has no layers of matrices.
    """
    section = job.recipe.sparsify
    assert section is not None
    use_all_cores(section.seed)
    parent = load_classifier(job.inputs["teacher"])
    student = load_classifier(job.inputs["teacher"])
    matrices = masked(student, section.sparsity)
    recover(student, parent, job, section)
    for matrix in matrices:
        prune.remove(matrix, "weight")  # type: ignore[no-untyped-call]
    zeros, weights = zero_weights(matrices)
    print(f"{zeros} of the {weights} weights of the layers' matrices are zero")
    student.save_pretrained(job.output)


def masked(model: PreTrainedModel, sparsity: float) -> list[torch.nn.Linear]:
    """Hold the smallest share `sparsity` of the layers' matrices, taken together, at zero.

    The matrices stay masked while the model is trained. Embeddings are left alone: they are
    looked up, not multiplied. Raises RecipeError when there is no matrix.
    """
    matrices = [
        module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and layer_of(f"{name}.weight") is not None
    ]
    if not matrices:
        raise RecipeError(f"sparsify: {model.config.model_type} has no layers of matrices")
    prune.global_unstructured(
        [(matrix, "weight") for matrix in matrices], prune.L1Unstructured, amount=sparsity
    )
    return matrices


def zero_weights(matrices: list[torch.nn.Linear]) -> tuple[int, int]:
    """How many weights of the matrices are zero, and how many there are."""
    zeros = sum(int((matrix.weight == 0).sum()) for matrix in matrices)
    return zeros, sum(matrix.weight.numel() for matrix in matrices)
