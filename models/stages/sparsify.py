"""The stage `sparsify`: sets a parent's smallest weights to zero, then trains the rest.

In ONNX Runtime a zero takes as many bytes and as much time as any other number, so sparsity only
makes a compressed download smaller.
"""

import torch
from torch.nn.utils import prune
from transformers import PreTrainedModel

from models.job import Job
from models.recipe import RecipeError
from models.training.architecture import layer_of, load_classifier
from models.training.knowledge_distillation import recover
from models.training.loop import use_all_cores


def run(job: Job) -> None:
    """Write the sparse classifier as a Hugging Face folder.

    Raises RecipeError when the parent has no layers with matrices.
    """
    section = job.recipe.sparsify
    assert section is not None
    use_all_cores(section.seed)
    parent = load_classifier(job.inputs["parent_weights"])
    student = load_classifier(job.inputs["parent_weights"])
    matrices = masked(student, section.sparsity)
    recover(student, parent, job, section)
    for matrix in matrices:
        prune.remove(matrix, "weight")  # type: ignore[no-untyped-call]
    zeros, weights = zero_weights(matrices)
    print(f"{zeros:,} of the {weights:,} weights in the layers' matrices are zero")
    student.save_pretrained(job.output)


def masked(model: PreTrainedModel, sparsity: float) -> list[torch.nn.Linear]:
    """Mask the smallest weights, a share `sparsity` of all layers' matrices together, to zero.

    The masks hold while the model is trained. Embeddings are not masked, because they are looked
    up and not multiplied. Returns the matrices; raises RecipeError when there are none.
    """
    matrices = [
        module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and layer_of(f"{name}.weight") is not None
    ]
    if not matrices:
        raise RecipeError(
            f"sparsify: {model.config.model_type} has no layers with matrices: use another parent"
        )
    prune.global_unstructured(
        [(matrix, "weight") for matrix in matrices], prune.L1Unstructured, amount=sparsity
    )
    return matrices


def zero_weights(matrices: list[torch.nn.Linear]) -> tuple[int, int]:
    """Count the matrices' weights that are zero, and all of their weights."""
    zeros = sum(int((matrix.weight == 0).sum()) for matrix in matrices)
    return zeros, sum(matrix.weight.numel() for matrix in matrices)
