"""Warm up one engine: check that it answers, and measure the cost of batches on this machine."""

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

from serving.inference.cost_model import Lane, Sample, fit_cost_model
from serving.inference.engine import Engine
from serving.inference.inputs import Item
from serving.inference.packing import ROW_TOKENS, lay_out

_SHORT_LENGTH = 32
_LONG_LENGTHS = (64, 128, 256, 512)
_FEWEST_TOKENS = 4
_GROWTH = 4
_FEWEST_SIZES = 2
_MIXED_BATCHES = 4
# Sixteen quantiles of a log-normal distribution with the median and the tail of sentences from
# reviews (median 21 tokens, sigma 0.68), shuffled.
_MIXED_LENGTHS = (6, 20, 52, 16, 36, 12, 28, 9, 22, 74, 18, 42, 14, 31, 11, 25)
_PASSES = 7
_FEWEST_PASSES = 3
_SINGLE_REPEATS = 20
# A slow or busy machine makes fewer passes, so that it does not start late.
_ENOUGH_S = 1.0
_SINGLE_ENOUGH_S = 0.25
# Longer batches would delay others and keep their memory in the arena; a much lower rate ends the
# search.
_LONGEST_BATCH_S = 0.25
_HOPELESS_SHARE = 0.85
# Smaller batches answer sooner, and spread their clients' next requests.
_ENOUGH_SHARE = 0.95
_LOW_PRIORITY = 10

Batch = Sequence[Item]
Clock = Callable[[], float]


def warm_up(
    engine: Engine,
    max_length: int,
    max_batch_tokens: int,
    *,
    beside_traffic: bool = False,
    clock: Clock = time.perf_counter,
) -> Lane:
    """Run the engine on growing batches in all slots, and fit its cost.

    Batches grow fourfold until the rate clearly falls: on a CPU when activations outgrow the cache,
    on a GPU much later. Then all sizes are measured in turns, so that other load on the machine
    affects all alike. The budget is the smallest size within 5 % of the best rate. A packed engine
    runs texts of mixed length, so that the padding of its rows counts. Takes about two seconds on
    a CPU. `beside_traffic` runs one batch at a time, in a thread of low priority, since traffic
    uses the other slots. Raises EngineFailed if the engine does.
    """
    at_a_time = 1 if beside_traffic else engine.slots
    short = min(ROW_TOKENS if engine.packed else _SHORT_LENGTH, max_length)

    def batches(tokens: int) -> Sequence[Batch]:
        if engine.packed and tokens >= short:
            return list(islice(_mixed(engine, tokens, short), _MIXED_BATCHES))
        length = min(tokens, short)
        return [[engine.example(length)] * (tokens // length)]

    with ThreadPoolExecutor(
        at_a_time, "warm-up", initializer=_yield_cores if beside_traffic else None
    ) as threads:
        long = [
            _Shape(engine, threads, at_a_time, clock, [[engine.example(length)]])
            for length in _LONG_LENGTHS
            if length <= max_length
        ]
        sizes: list[tuple[int, _Shape]] = []
        best, tokens = 0.0, _FEWEST_TOKENS
        while tokens <= max(max_batch_tokens, _GROWTH * _FEWEST_TOKENS):
            shape = _Shape(engine, threads, at_a_time, clock, batches(tokens))
            shape.begin()
            rate, seconds = max(shape.run() for _ in range(_MIXED_BATCHES))
            sizes.append((tokens, shape))
            if len(sizes) >= _FEWEST_SIZES and (
                seconds * _GROWTH > _LONGEST_BATCH_S or rate < best * _HOPELESS_SHARE
            ):
                break
            best = max(best, rate)
            tokens *= _GROWTH
        for shape in long:
            shape.begin()
            shape.run()
        until_s = clock() + _ENOUGH_S
        for number in range(_PASSES):
            if number >= _FEWEST_PASSES and clock() > until_s:
                break
            for shape in [shape for _, shape in sizes] + long:
                shape.run()
    fastest = max((shape for _, shape in sizes), key=_Shape.rate)
    budget = next(tokens for tokens, shape in sizes if shape.share_of(fastest) >= _ENOUGH_SHARE)
    model = fit_cost_model([shape.middle() for _, shape in sizes], [s.middle() for s in long])
    return Lane(model.seconds, budget, engine.packed)


def _yield_cores() -> None:
    """Lower the priority of this thread; Linux keeps one per thread."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOW_PRIORITY)


class _Shape:
    """One batch size, and the durations of its runs while every slot ran the same."""

    def __init__(
        self,
        engine: Engine,
        threads: ThreadPoolExecutor,
        at_a_time: int,
        clock: Clock,
        batches: Sequence[Batch],
    ) -> None:
        self._engine = engine
        self._threads = threads
        self._at_a_time = at_a_time
        self._clock = clock
        self._batches = batches
        self._turns = cycle(batches)
        self._samples: list[Sample] = []
        self.rates: list[float] = []

    def begin(self) -> None:
        """Run each batch once, uncounted, to allocate and compile."""
        for _ in self._batches:
            self.run()
        self._samples.clear()
        self.rates.clear()

    def run(self) -> tuple[float, float]:
        """Run a batch in each slot; return tokens per second and slot, and the seconds."""
        batch = next(self._turns)
        started_s = self._clock()
        list(self._threads.map(self._engine.run, [batch] * self._at_a_time))
        seconds = self._clock() - started_s
        lengths = [item.length for item in batch]
        layout = lay_out(lengths, packed=self._engine.packed)
        self._samples.append(Sample(layout.rows, layout.tokens, seconds))
        self.rates.append(sum(lengths) / seconds)
        return self.rates[-1], seconds

    def rate(self) -> float:
        """Median tokens per second and slot, without padding."""
        return statistics.median(self.rates)

    def share_of(self, other: "_Shape") -> float:
        """Median ratio to the other's rate, pass by pass, so that machine noise cancels out."""
        return statistics.median(a / b for a, b in zip(self.rates, other.rates, strict=True))

    def middle(self) -> Sample:
        """The sample with the median time per computed token."""
        ordered = sorted(self._samples, key=lambda sample: sample.seconds / sample.tokens)
        return ordered[len(ordered) // 2]


def _mixed(engine: Engine, budget_tokens: int, max_length: int) -> Iterator[Batch]:
    """Batches from a stream of texts, each up to the budget, as the scheduler takes them."""
    lengths = cycle(min(length, max_length) for length in _MIXED_LENGTHS)
    first = next(lengths)
    while True:
        batch: list[Item] = []
        tokens = 0
        while not batch or tokens + first <= budget_tokens:
            batch.append(engine.example(first))
            tokens += first
            first = next(lengths)
        yield batch


def single_text_speedup(
    many: Engine, one: Engine, length: int, clock: Clock = time.perf_counter
) -> float:
    """The speed-up of `one` over `many` for a single text of `length` tokens.

    The ratio of median run times, measured in turns with nothing else running.
    """
    batch = [many.example(length)]
    times: tuple[list[float], list[float]] = [], []
    began_s = clock()
    while len(times[0]) < _SINGLE_REPEATS and clock() - began_s < _SINGLE_ENOUGH_S:
        for engine, seen_s in zip((many, one), times, strict=True):
            started_s = clock()
            engine.run(batch)
            seen_s.append(clock() - started_s)
    return statistics.median(times[0]) / statistics.median(times[1])
