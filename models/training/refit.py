"""Fits the weights of a student that was cut from its teacher to the teacher, by least squares."""

from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
from transformers import PreTrainedModel

from models.progress import progress
from models.training.architecture import axes, teacher_name
from models.training.device import device_of, to_training_device
from models.training.encodings import Ids
from models.training.loop import outputs, padded, similar_lengths

_TEXTS = 1024
_TOKENS = 40_000
_BATCH_TEXTS = 32
# Of the mean square of the inputs: the weights of inputs that are always small stay as they are.
_RIDGE = 1e-3
_OUTPUT_AXES = (("width", "heads"), ("width", "units"))


def refit(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    layers: Sequence[int],
    encodings: Sequence[Ids],
    theirs: Sequence[Ids],
    *,
    width: torch.Tensor,
) -> None:
    """Make each layer's sums as near to the teacher's as its heads and units that are left allow.

    Student layer i was cut from the teacher's `layers[i]`, and its hidden dimensions are `width` of
    the teacher's, before they are normalised. `encodings` are ids of the student, `theirs` the same
    tokens' ids of the teacher. From the first layer on, the last product of the attention and that
    of the feed-forward part are solved for, with what all before them now compute as their inputs;
    so they make up for what was cut, and for errors of earlier layers. It is ridge regression on up
    to 1,024 texts of 40,000 tokens together, whose sums of the teacher are kept: for each product
    40,000 numbers of 4 bytes a dimension. It is the reconstruction of ZipLM (Kurtic et al. 2023),
    with the units chosen before.
    """
    names = [
        name
        for name, module in student.named_modules()
        if isinstance(module, torch.nn.Linear)
        and axes(f"{name}.weight", student.config) in _OUTPUT_AXES
    ]
    chosen = _batches(encodings)
    student.train(mode=False)
    to_training_device(student)
    to_training_device(teacher)
    old_names = {name: teacher_name(name, layers) for name in names}
    wanted: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    with torch.no_grad():
        for batch in progress(chosen, does="teacher", units="batches"):
            _, totals = _seen(teacher, [theirs[i] for i in batch], set(old_names.values()))
            for name in names:
                wanted[name].append(totals[old_names[name]][:, width].cpu())
        batches = [[encodings[i] for i in batch] for batch in chosen]
        for name in progress(names, does="fitting", units="products"):
            _solve(student, name, batches, wanted.pop(name))
    student.cpu()
    teacher.cpu()


def _batches(encodings: Sequence[Ids]) -> list[list[int]]:
    lengths = [len(ids) for ids in encodings]
    batches = similar_lengths(lengths, _BATCH_TEXTS, seed=0)[: _TEXTS // _BATCH_TEXTS]
    tokens = accumulate(sum(lengths[i] for i in batch) for batch in batches)
    return batches[: max(1, sum(count <= _TOKENS for count in tokens))]


def _solve(
    student: PreTrainedModel,
    name: str,
    batches: Sequence[Sequence[Ids]],
    wanted: Sequence[torch.Tensor],
) -> None:
    """Change one product's weights and bias so that its sums are nearest to `wanted`."""
    product = student.get_submodule(name)
    assert isinstance(product, torch.nn.Linear)
    size = product.in_features + 1
    squares = torch.zeros(size, size, dtype=torch.double, device=device_of(student))
    errors = squares.new_zeros(size, product.out_features)
    for texts, totals in zip(batches, wanted, strict=True):
        given, own = _seen(student, texts, {name})
        inputs = torch.nn.functional.pad(given[name], (0, 1), value=1.0)
        squares += (inputs.T @ inputs).double()
        errors += (inputs.T @ (totals.to(inputs) - own[name])).double()
    squares += _RIDGE * squares.diagonal().mean() * torch.eye(size).to(squares)
    change = torch.linalg.solve(squares, errors).to(product.weight)
    product.weight.add_(change[:-1].T)
    product.bias.add_(change[-1])


def _seen(
    model: PreTrainedModel, texts: Sequence[Ids], names: set[str]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Run the model on a batch; return what these products read, and the sums they are added to.

    The next normalisation reads the sum. Both are of the texts' tokens: (tokens, size).
    """
    tokens = padded(texts)["attention_mask"].bool().to(device_of(model))
    given: dict[str, torch.Tensor] = {}
    totals: dict[str, torch.Tensor] = {}
    waiting: list[str] = []

    def watch(name: str) -> Callable[..., None]:
        def product(_: torch.nn.Module, read: tuple[torch.Tensor], __: torch.Tensor) -> None:
            given[name] = read[0][tokens].float()
            waiting.append(name)

        return product

    def normalised(_: torch.nn.Module, read: tuple[torch.Tensor]) -> None:
        for name in waiting:
            totals[name] = read[0][tokens].float()
        waiting.clear()

    hooks = [model.get_submodule(name).register_forward_hook(watch(name)) for name in names]
    hooks += [
        module.register_forward_pre_hook(normalised)
        for module in model.modules()
        if isinstance(module, torch.nn.LayerNorm)
    ]
    try:
        outputs(model, texts)
    finally:
        for hook in hooks:
            hook.remove()
    return given, totals
