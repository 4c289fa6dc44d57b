"""Warm-up of one engine: proves that it answers, and measures what batches cost on this machine.

It does not know what the figures decide (scheduler.py).
"""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from serving.cost_model import Sample, fit_cost_model
from serving.engine import Engine
from serving.layout import ROW_TOKENS
from serving.scheduler import Lane

_SHORT_LENGTH = 32
_FEWEST_TOKENS = 4
_REPEATS = 5
_LONE_REPEATS = 20
# A slow or busy machine gets fewer repeats rather than a late start.
_ENOUGH_S = 0.25
_WORTHWHILE_GAIN = 1.03
_MOST_DOUBLINGS_IN_VAIN = 2
# Small batches answer sooner, and their clients come back less at once.
_ENOUGH_SHARE = 0.95


def warm_up(engine: Engine, max_length: int, max_batch_tokens: int) -> Lane:
    """Run the engine on growing shapes, all slots at a time, and fit its lane.

    The number of tokens in a batch doubles until two doublings in a row did not bring 3 % more
    tokens per second: on a CPU batches stop paying when activations leave the cache, on a GPU
    much later. The budget is the smallest number within 5 % of the best. Takes a second or two on
    a CPU. Raises EngineFailed when the engine does.
    """
    short = min(ROW_TOKENS if engine.packed else _SHORT_LENGTH, max_length)
    with ThreadPoolExecutor(engine.slots, "warm-up") as threads:
        sizes: list[Sample] = []
        best, in_vain = 0.0, 0
        tokens = _FEWEST_TOKENS
        while tokens <= max(max_batch_tokens, 2 * _FEWEST_TOKENS):
            length = min(tokens, short)
            sizes.append(_measure(engine, threads, tokens // length, length))
            rate = _rate(sizes[-1])
            in_vain = 0 if rate > best * _WORTHWHILE_GAIN else in_vain + 1
            best = max(best, rate)
            if in_vain >= _MOST_DOUBLINGS_IN_VAIN and tokens > short:
                break
            tokens *= 2
        long = [
            _measure(engine, threads, 1, length)
            for length in sorted({min(length, max_length) for length in (64, 128, 256, 512)})
        ]
    enough = max(map(_rate, sizes)) * _ENOUGH_SHARE
    budget = next(size.tokens for size in sizes if _rate(size) >= enough)
    return Lane(fit_cost_model(sizes, long).seconds, budget, engine.packed)


def lone_speedup(many: Engine, one: Engine, length: int) -> float:
    """How many times as fast `one` answers a single text of `length` tokens as `many` does.

    Medians of runs in turn, with nothing beside them.
    """
    batch = [[1] * length]
    times: tuple[list[float], list[float]] = [], []
    began_s = time.perf_counter()
    while len(times[0]) < _LONE_REPEATS and time.perf_counter() - began_s < _ENOUGH_S:
        for engine, seen_s in zip((many, one), times, strict=True):
            started_s = time.perf_counter()
            engine.run(batch)
            seen_s.append(time.perf_counter() - started_s)
    return statistics.median(times[0]) / statistics.median(times[1])


def _rate(sample: Sample) -> float:
    """Tokens per second and slot."""
    return sample.tokens / sample.seconds


def _measure(engine: Engine, threads: ThreadPoolExecutor, texts: int, length: int) -> Sample:
    """Median time of one run of this shape while every slot runs the same, hand-over included.

    Of one to five runs, after a first one that is not counted.
    """
    batches = [[[1] * length] * texts] * engine.slots

    def timed() -> float:
        started_s = time.perf_counter()
        list(threads.map(engine.run, batches))
        return time.perf_counter() - started_s

    started_s = time.perf_counter()
    timed()
    times = [timed()]
    while len(times) < _REPEATS and time.perf_counter() - started_s < _ENOUGH_S:
        times.append(timed())
    return Sample(texts, length, statistics.median(times))
