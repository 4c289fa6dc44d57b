"""Warm-up of one engine: proves that it answers, and measures what batches cost on this machine.

It does not know what the figures decide (scheduler.py).
"""

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from serving.cost_model import Sample, fit_cost_model
from serving.engine import Engine
from serving.scheduler import Lane

_LENGTHS = (8, 16, 32, 64, 128, 256, 512)
_SMALLEST_BUDGET_TOKENS = 64
_BUDGET_LENGTH = 32
_REPEATS = 3
_WORTH_GROWING = 1.03


def warm_up(engine: Engine, max_length: int, max_batch_tokens: int) -> Lane:
    """Run the engine on shapes up to its limits, all slots at a time, and fit its lane.

    The token budget doubles for as long as that raises the measured tokens per second by at
    least 3 %: on a CPU batches stop paying when activations leave the cache, on a GPU much
    later. Takes a second or two on a CPU. Raises EngineFailed when the engine does.
    """
    with ThreadPoolExecutor(engine.slots, "warm-up") as threads:
        budget_tokens = _measure_budget(engine, threads, max_length, max_batch_tokens)
        samples = [
            Sample(texts, length, _measure(engine, threads, texts, length))
            for texts, length in _shapes(max_length, budget_tokens)
        ]
    return Lane(fit_cost_model(samples).seconds, budget_tokens)


def _shapes(max_length: int, budget_tokens: int) -> Iterator[tuple[int, int]]:
    for length in sorted({min(length, max_length) for length in _LENGTHS}):
        yield 1, length
        for share in (4, 1):
            texts = budget_tokens // share // length
            if texts > 1:
                yield texts, length


def _measure_budget(
    engine: Engine, threads: ThreadPoolExecutor, max_length: int, max_batch_tokens: int
) -> int:
    length = min(_BUDGET_LENGTH, max_length)
    budget_tokens, best_rate = min(_SMALLEST_BUDGET_TOKENS, max_batch_tokens), 0.0
    tokens = budget_tokens
    while tokens <= max_batch_tokens:
        texts = max(1, tokens // length)
        rate = texts / _measure(engine, threads, texts, length)
        if rate < best_rate * _WORTH_GROWING:
            break
        budget_tokens, best_rate = tokens, rate
        tokens *= 2
    return budget_tokens


def _measure(engine: Engine, threads: ThreadPoolExecutor, texts: int, length: int) -> float:
    """Median seconds of one run of this shape while every slot runs the same."""
    batch = [[1] * length] * texts

    def timed(_slot: int) -> float:
        started_s = time.perf_counter()
        engine.run(batch)
        return time.perf_counter() - started_s

    list(threads.map(timed, range(engine.slots)))
    return statistics.median(threads.map(timed, range(engine.slots * _REPEATS)))
