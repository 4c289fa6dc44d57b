"""The training loop: batches of similar length, AdamW, linear decay, the best epoch kept.

It does not know what is learned: the loss is a function it is given.
"""

import copy
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from transformers import get_linear_schedule_with_warmup
from transformers.modeling_outputs import SequenceClassifierOutput

from models.progress import progress
from models.recipe_sections import ProblemType

Ids = Sequence[int]
Loss = Callable[[list[int], SequenceClassifierOutput], torch.Tensor]

_BATCHES_PER_CHUNK = 20
_WARMUP_SHARE = 0.1
_WEIGHT_DECAY = 0.01
_LARGEST_GRADIENT = 1.0


@dataclass(frozen=True)
class Pace:
    """How long and how fast to learn."""

    seed: int
    epochs: int
    learning_rate: float
    batch_texts: int


def similar_lengths(lengths: Sequence[int], batch_texts: int, seed: int) -> list[list[int]]:
    """Indices 0..n-1 in shuffled batches whose members have nearly the same length.

    Sorted within shuffled chunks of 20 batches, so that batches differ from epoch to epoch.
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


def padded(encodings: Sequence[Ids]) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask`, both of shape (texts, longest); 0 pads."""
    rows = [torch.tensor(ids) for ids in encodings]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    return {
        "input_ids": ids,
        "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long(),
    }


def accuracy(
    model: torch.nn.Module,
    encodings: Sequence[Ids],
    targets: npt.NDArray[np.bool_],
    problem_type: ProblemType,
) -> float:
    """The share of texts whose every label is right; targets are of shape (texts, labels).

    The answer is the largest logit, or, for multi_label, every label of probability >= 0.5.
    """
    model.eval()
    right = 0
    with torch.inference_mode():
        for batch in similar_lengths([len(ids) for ids in encodings], 32, seed=0):
            logits = model(**padded([encodings[i] for i in batch])).logits
            if problem_type == "multi_label":
                answers = logits >= 0
            else:
                answers = functional.one_hot(logits.argmax(-1), logits.shape[-1]).bool()
            right += int((answers == torch.from_numpy(targets[batch])).all(-1).sum())
    return right / len(encodings)


def label_loss(
    problem_type: ProblemType, weights: torch.Tensor | None = None, smoothing: float = 0.0
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The loss of logits against boolean targets, both of shape (texts, labels).

    Cross-entropy, with `weights` a class; or, for multi_label, the mean binary cross-entropy,
    with `weights` for a label's presence. `smoothing` is the share taken from the true answer.
    """
    if problem_type == "single_label":
        one = torch.nn.CrossEntropyLoss(weights, label_smoothing=smoothing)
        return lambda logits, targets: one(logits, targets.int().argmax(-1))
    each = torch.nn.BCEWithLogitsLoss(pos_weight=weights)
    return lambda logits, targets: each(logits, targets * (1 - smoothing) + smoothing / 2)


def fit(
    model: torch.nn.Module,
    encodings: Sequence[Ids],
    loss: Loss,
    pace: Pace,
    validate: Callable[[], float],
) -> None:
    """Minimise `loss(indices of the batch, output)` and leave the best epoch's weights in `model`.

    `validate` scores the model after each epoch; larger is better. The output has hidden states.
    """
    lengths = [len(ids) for ids in encodings]
    steps = pace.epochs * len(similar_lengths(lengths, pace.batch_texts, pace.seed))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=pace.learning_rate, weight_decay=_WEIGHT_DECAY, fused=True
    )
    schedule = get_linear_schedule_with_warmup(  # type: ignore[no-untyped-call]
        optimizer, int(_WARMUP_SHARE * steps), steps
    )
    best, weights = -1.0, model.state_dict()
    with progress(total=steps, does="training", units="batches") as bar:
        for epoch in range(pace.epochs):
            model.train()
            for batch in similar_lengths(lengths, pace.batch_texts, pace.seed + epoch):
                inputs = padded([encodings[i] for i in batch])
                value = loss(batch, model(**inputs, output_hidden_states=True))
                value.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(model.parameters(), _LARGEST_GRADIENT)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                bar.update()
            score = validate()
            bar.write(f"epoch {epoch + 1} of {pace.epochs}: validation {score:.4f}")
            if score > best:
                best, weights = score, copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)


def use_all_cores(seed: int) -> None:
    """Let torch use every core of this process and repeat its random numbers."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(seed)
