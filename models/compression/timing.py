"""Times what a text takes a model here: a few batches, from short to long, stand for all."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from models.recipe_sections import TrainingPrecision
from models.training.device import to_training_device
from models.training.encodings import Ids
from models.training.loop import outputs, similar_lengths, use_all_cores

_BATCH_TEXTS = 16
_TIMED_BATCHES = 8
_TIMED_S = 6.0


def training_seconds(
    model: PreTrainedModel, encodings: Sequence[Ids], precision: TrainingPrecision
) -> float:
    """Measure what a text takes in training: forwards, backwards and the optimiser's step."""
    _prepare(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)
    model.train()

    def step(texts: list[Ids]) -> None:
        output = outputs(model, texts, precision)
        assert output.logits is not None
        output.logits.square().mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    return _seconds_a_text(step, encodings)


def scoring_seconds(model: PreTrainedModel, encodings: Sequence[Ids]) -> float:
    """Measure what a text's answer takes in fp32."""
    _prepare(model)
    model.train(mode=False)

    def answer(texts: list[Ids]) -> None:
        with torch.inference_mode():
            outputs(model, texts)

    return _seconds_a_text(answer, encodings)


def _prepare(model: PreTrainedModel) -> None:
    use_all_cores(seed=0)
    to_training_device(model)


def _seconds_a_text(run: Callable[[list[Ids]], None], encodings: Sequence[Ids]) -> float:
    """The mean over all batches of similar length; those between timed ones are interpolated.

    The first is run once before. What is longer than was timed before the time is up counts by
    its tokens, padding included.
    """
    lengths = [len(ids) for ids in encodings]
    batches = similar_lengths(lengths, _BATCH_TEXTS, seed=0)
    batches.sort(key=lambda batch: len(batch) * max(lengths[index] for index in batch))
    sizes = np.array([len(batch) * max(lengths[index] for index in batch) for batch in batches])
    run([encodings[index] for index in batches[0]])
    timed, seconds = list[int](), list[float]()
    for at in np.unique(np.linspace(0, len(batches) - 1, _TIMED_BATCHES).astype(int)):
        started_s = time.perf_counter()
        run([encodings[index] for index in batches[at]])
        timed.append(sizes[at])
        seconds.append(time.perf_counter() - started_s)
        if sum(seconds) > _TIMED_S:
            break
    longer = np.maximum(1.0, sizes / timed[-1])
    return float((np.interp(sizes, timed, seconds) * longer).sum() / len(encodings))
