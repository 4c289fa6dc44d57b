"""Times what a text takes a model here: a few batches, from short to long, stand for all."""

import time
from collections.abc import Callable, Mapping, Sequence

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
_MOST_ROUNDS = 3


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
    """The mean over all batches of similar length, of which a few are timed, from short to long.

    They are timed again while there is time, and the median counts. Batches between them are
    interpolated by their tokens with padding; those that there was no time for go on as these do.
    """
    lengths = [len(ids) for ids in encodings]
    batches = similar_lengths(lengths, _BATCH_TEXTS, seed=0)
    sized = sorted((len(each) * max(lengths[at] for at in each), each) for each in batches)
    chosen = np.unique(np.linspace(0, len(sized) - 1, _TIMED_BATCHES).astype(int))
    timed: dict[int, list[float]] = {}
    run([encodings[at] for at in sized[0][1]])
    left_s = _TIMED_S
    for number in [*chosen] * _MOST_ROUNDS:
        if left_s < 0:
            break
        size, batch = sized[number]
        _wait()
        started_s = time.perf_counter()
        run([encodings[at] for at in batch])
        _wait()
        took_s = time.perf_counter() - started_s
        timed.setdefault(size, []).append(took_s)
        left_s -= took_s
    return _of_all([size for size, _ in sized], timed) / len(encodings)


def _wait() -> None:
    """Let a GPU end what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _of_all(sizes: list[int], timed: Mapping[int, Sequence[float]]) -> float:
    """Seconds of all batches, by those of some sizes."""
    known, seconds = [*timed], [float(np.median(each)) for each in timed.values()]
    first, first_s = (known[0], seconds[0]) if len(known) > 1 else (0, 0.0)
    a_token_s = max(0.0, seconds[-1] - first_s) / (known[-1] - first)
    beyond = np.maximum(0, np.array(sizes) - known[-1]) * a_token_s
    return float((np.interp(sizes, known, seconds) + beyond).sum())
