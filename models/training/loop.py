"""The training loop: batches of similar length, AdamW, linear decay, the best epoch kept."""

import copy
import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from transformers import get_linear_schedule_with_warmup
from transformers.modeling_outputs import SequenceClassifierOutput

from models.progress import progress
from models.recipe import RecipeError
from models.recipe_sections import ProblemType, TrainingPrecision, TrainingSection
from models.training.checkpoint import Checkpoint, State
from models.training.device import (
    device_of,
    has_bf16,
    random_states,
    set_random_states,
    to_training_device,
)
from models.training.encodings import Ids
from serving.inference.cpu import usable_cores

Loss = Callable[[list[int], SequenceClassifierOutput], torch.Tensor]

_BATCHES_PER_CHUNK = 20
_WARMUP_SHARE = 0.1
_WEIGHT_DECAY = 0.01
_LARGEST_GRADIENT = 1.0
_FEWEST_EPOCHS = 2


def similar_lengths(lengths: Sequence[int], batch_texts: int, seed: int) -> list[list[int]]:
    """Return the indices of `lengths` in shuffled batches of nearly equal lengths.

    Indices are sorted within shuffled chunks of 20 batches, so each seed gives other batches.
    """
    shuffled = random.Random(seed)  # noqa: S311 (an order, not a secret)
    order = list(range(len(lengths)))
    shuffled.shuffle(order)
    chunk = batch_texts * _BATCHES_PER_CHUNK
    batches = []
    for start in range(0, len(order), chunk):
        alike = sorted(order[start : start + chunk], key=lengths.__getitem__)
        batches += [alike[at : at + batch_texts] for at in range(0, len(alike), batch_texts)]
    shuffled.shuffle(batches)
    return batches


def padded(encodings: Sequence[Ids], filler: int = 0) -> dict[str, torch.Tensor]:
    """Return `input_ids`, with `filler` at the end, and `attention_mask`: (texts, longest)."""
    rows = [torch.tensor(ids) for ids in encodings]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=filler)
    lengths = torch.tensor([len(row) for row in rows])
    return {
        "input_ids": ids,
        "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long(),
    }


def accuracy(
    model: torch.nn.Module,
    encodings: Sequence[Ids],
    truth: npt.NDArray[np.bool_],
    problem_type: ProblemType,
) -> float:
    """Return the share of texts whose labels are all correct; `truth` is (texts, labels).

    The prediction is the largest logit, or with multi_label every label of probability >= 0.5.
    """
    model.eval()
    hits = 0
    with torch.inference_mode():
        for batch in similar_lengths([len(ids) for ids in encodings], 32, seed=0):
            logits = outputs(model, [encodings[i] for i in batch]).logits
            assert logits is not None
            if problem_type == "multi_label":
                found = logits >= 0
            else:
                found = functional.one_hot(logits.argmax(-1), logits.shape[-1]).bool()
            hits += int((found == torch.from_numpy(truth[batch])).all(-1).sum())
    return hits / len(encodings)


def label_loss(
    problem_type: ProblemType, weights: torch.Tensor | None = None, smoothing: float = 0.0
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the loss of logits against boolean truth, both of shape (texts, labels).

    It is the cross-entropy with one of `weights` a class, or with multi_label the mean binary
    cross-entropy with one of `weights` for each label that is present. `smoothing` is the
    probability taken from the true label.
    """
    if problem_type == "single_label":
        one = torch.nn.CrossEntropyLoss(weights, label_smoothing=smoothing)
        return lambda logits, truth: one(logits, truth.int().argmax(-1))
    each = torch.nn.BCEWithLogitsLoss(pos_weight=weights)
    return lambda logits, truth: each(logits, truth * (1 - smoothing) + smoothing / 2)


def fit(
    model: torch.nn.Module,
    encodings: Sequence[Ids],
    loss: Loss,
    section: TrainingSection,
    *,
    validate: Callable[[], float],
    checkpoint: Checkpoint,
    least: float = 0.0,
) -> None:
    """Minimise `loss(indices of the batch, output)` and leave the best epoch's weights in `model`.

    `section` sets seed, epochs, learning rate, batch size and precision. `validate` scores the
    model after each epoch; larger is better. The output includes the hidden states. Training goes
    on from `checkpoint`, if it has one. Raises RecipeError once the scores cannot reach `least`
    (see `within_reach`).
    """
    lengths = [len(ids) for ids in encodings]
    per_epoch = len(similar_lengths(lengths, section.batch_texts, section.seed))
    steps = section.epochs * per_epoch
    _to_device(model, section.precision)
    optimizer, schedule = _optimizer(model, section.learning_rate, steps)
    done, weights = 0, model.state_dict()
    scores: list[float] = []
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "schedule": schedule}

    def state() -> State:
        now = {name: part.state_dict() for name, part in parts.items()}
        return now | {"done": done, "scores": scores, "weights": weights, "random": random_states()}

    if saved := checkpoint.read():
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        done, scores, weights = saved["done"], saved["scores"], saved["weights"]
        set_random_states(saved["random"])
        print(f"the training goes on from batch {done:,} of {steps:,}")
    with progress(total=steps, initial=done, does="training", units="batches") as bar:
        for epoch in range(done // per_epoch, section.epochs):
            model.train()
            batches = similar_lengths(lengths, section.batch_texts, section.seed + epoch)
            for batch in batches[done - epoch * per_epoch :]:
                checkpoint.write_if_due(state)
                texts = [encodings[i] for i in batch]
                output = outputs(model, texts, section.precision, output_hidden_states=True)
                loss(batch, output).backward()  # type: ignore[no-untyped-call]
                _step(model, optimizer, schedule)
                done += 1
                bar.update()
            score = validate()
            bar.write(f"epoch {epoch + 1} of {section.epochs}: validation {score:.4f}")
            if score > max(scores, default=-1.0):
                weights = copy.deepcopy(model.state_dict())
            scores.append(score)
            if not within_reach(scores, section.epochs, least):
                raise RecipeError(
                    f"stopped after epoch {epoch + 1} of {section.epochs}: a validation accuracy "
                    f"of {score:.4f} cannot reach {least:.4f}: train longer or make it larger"
                )
    model.load_state_dict(weights)
    model.cpu()


def _to_device(model: torch.nn.Module, precision: TrainingPrecision) -> None:
    to_training_device(model)
    if precision == "bf16" and not has_bf16(device_of(model)):
        print("there is no bf16 here: the training is in fp32")


def _step(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
) -> None:
    torch.nn.utils.clip_grad_norm_(model.parameters(), _LARGEST_GRADIENT)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()


def _optimizer(
    model: torch.nn.Module, learning_rate: float, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, weight_decay=_WEIGHT_DECAY, fused=True
    )
    schedule = get_linear_schedule_with_warmup(  # type: ignore[no-untyped-call]
        optimizer, int(_WARMUP_SHARE * steps), steps
    )
    return optimizer, schedule


def outputs(
    model: torch.nn.Module,
    encodings: Sequence[Ids],
    precision: TrainingPrecision = "fp32",
    **asked: bool,
) -> SequenceClassifierOutput:
    """Return the model's outputs on a batch: fp32 logits, on the CPU, and what else is `asked`.

    That stays on the model's device. With `bf16` matrix products have that number format, on a
    device that has it.
    """
    device = device_of(model)
    # A decoder reads the answer from the last token that is not this one.
    filler = getattr(getattr(model, "config", None), "pad_token_id", None) or 0
    inputs = {name: each.to(device) for name, each in padded(encodings, filler).items()}
    in_bf16 = precision == "bf16" and has_bf16(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=in_bf16):
        output: SequenceClassifierOutput = model(**inputs, **asked)
    assert output.logits is not None
    output.logits = output.logits.float().cpu()
    return output


def within_reach(scores: Sequence[float], epochs: int, least: float) -> bool:
    """Return whether a model may still score `least`, by its scores after each epoch so far.

    The gain of an epoch, the larger of the last two, in each epoch that is left is more than can
    come, since learning slows down. Not so at the start: there is no answer but yes in the first
    third of the epochs.
    """
    done = len(scores)
    if done < max(_FEWEST_EPOCHS, epochs / 3) or max(scores) >= least:
        return True
    gains = [after - before for before, after in pairwise(scores[-3:])]
    return max(scores) + (epochs - done) * max(0.0, *gains) >= least


def leave_dropout_out(model: torch.nn.Module) -> None:
    """Train without dropout: its noise keeps a student from states that it is to match.

    It also takes up to two thirds of a training on a CPU, as attention's keeps torch from its
    fused products.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attention_dropout"):  # a number, as in ModernBERT and decoders
            setattr(module, "attention_dropout", 0.0)  # noqa: B010 (mypy takes it for a module)


def use_all_cores(seed: int) -> None:
    """Let torch use every core that this process may use, and seed its random numbers."""
    torch.set_num_threads(usable_cores())
    torch.manual_seed(seed)
