"""Warm up one engine: check that it answers, and measure the cost of batches on this machine."""

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Self

from serving.background import Threads
from serving.inference.cost_model import Lane, Sample, fit_cost_model
from serving.inference.cpu import yield_cores
from serving.inference.engine import Engine
from serving.inference.inputs import Item
from serving.inference.packing import lay_out
from serving.inference.usual_mix import USUAL_LENGTHS, by_length, in_order

_SHORT_LENGTH = 32
# The least that holds several texts of the usual mix.
_PACKED_TOKENS = 64
_LONG_LENGTHS = (64, 128, 256, 512)
_FEWEST_TOKENS = 4
_GROWTH = 4
_FEWEST_SIZES = 2
_MIXED_BATCHES = 4
_PASSES = 7
_FEWEST_PASSES = 3
_SINGLE_REPEATS = 20
# A slow or busy machine makes fewer passes, so that it does not start late.
_ENOUGH_S = 1.0
_SINGLE_ENOUGH_S = 0.25
_LAYOUTS_ENOUGH_S = 0.25
# With each length twice, batches of neighbours pad as little as the scheduler's, which chooses
# among new texts each time.
_MIXES = 2
# What padded batches are usually good for; a packed budget may be a single row.
_PADDED_BUDGET_TOKENS = 256
# Longer batches would delay others and keep their memory in the arena; a much lower rate ends the
# search.
_LONGEST_BATCH_S = 0.25
_HOPELESS_SHARE = 0.85
# Smaller batches answer sooner, and spread their clients' next requests. The scheduler fills a
# padded budget only where that is predicted to pay, so a small one costs throughput and saves
# little.
_ENOUGH_SHARE = 0.95
_ENOUGH_SHARE_PADDED = 0.98
_NICE = 10
# The loop's work for one batch more, whatever its size: CPU a text served in batches of 1.7 and of
# 4.5 texts differed by 41 us.
_HANDOVER_S = 1e-4

Batch = Sequence[Item]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Conditions:
    """How to measure.

    `beside_traffic` runs one batch at a time, in a thread of low priority, since traffic uses the
    other slots. Rates are compared by `cpu_clock`, which counts this process's CPU seconds, where
    it is given: other programs interrupt large batches more often than small ones. A served batch
    costs `handover_s` of CPU besides its run.
    """

    beside_traffic: bool = False
    clock: Clock = time.perf_counter
    cpu_clock: Clock | None = None
    handover_s: float = _HANDOVER_S


_ALONE = Conditions()


def warm_up(
    engine: Engine, max_length: int, max_batch_tokens: int, conditions: Conditions = _ALONE
) -> Lane:
    """Run the engine on growing batches in all slots, and fit its cost.

    Batches grow fourfold until the rate clearly falls: on a CPU when activations outgrow the cache,
    on a GPU much later. Then all sizes are measured in turns, so that other load on the machine
    affects all alike. The budget is the smallest size within 5 % of the best rate, 2 % if texts are
    padded. A packed engine runs texts of mixed length, so that the padding of its rows counts.
    Takes about two seconds on a CPU. Raises EngineFailed if the engine does.
    """
    short = min(_PACKED_TOKENS if engine.packed else _SHORT_LENGTH, max_length)

    def batches(tokens: int) -> Sequence[Batch]:
        if engine.packed and tokens >= short:
            mix = cycle(min(length, max_length) for length in USUAL_LENGTHS)
            plan = islice(in_order(mix, tokens), _MIXED_BATCHES)
            return [[engine.example(length) for length in batch] for batch in plan]
        length = min(tokens, short)
        return [[engine.example(length)] * (tokens // length)]

    clock = conditions.clock
    with _Slots(engine, conditions) as slots:
        long = [
            _Shape(engine, slots, [[engine.example(length)]])
            for length in _LONG_LENGTHS
            if length <= max_length
        ]
        sizes: list[tuple[int, _Shape]] = []
        best, tokens = 0.0, _FEWEST_TOKENS
        while tokens <= max(max_batch_tokens, _GROWTH * _FEWEST_TOKENS):
            shape = _Shape(engine, slots, batches(tokens))
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
    enough = _ENOUGH_SHARE if engine.packed else _ENOUGH_SHARE_PADDED
    budget = next(tokens for tokens, shape in sizes if shape.share_of(fastest) >= enough)
    model = fit_cost_model([shape.middle() for _, shape in sizes], [s.middle() for s in long])
    return Lane(model.seconds, budget, engine.packed, engine.preempts)


class _Slots:
    """Runs the same work in every slot at once, and says how long that took."""

    def __init__(self, engine: Engine, conditions: Conditions) -> None:
        beside_traffic, self._clock = conditions.beside_traffic, conditions.clock
        self._work_clock = conditions.cpu_clock or conditions.clock
        self._slots = 1 if beside_traffic else engine.slots
        self._handovers_s = conditions.handover_s * (self._slots if conditions.cpu_clock else 1)
        self._threads = Threads(
            self._slots, "warm-up", partial(yield_cores, _NICE) if beside_traffic else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    def seconds(self, work: Callable[[], object]) -> tuple[float, float]:
        """Return the seconds that passed, and those to compare with others."""
        before_s, started_s = self._work_clock(), self._clock()
        running = [self._threads.submit(work) for _ in range(self._slots)]
        wait(running)
        for each in running:
            each.result()
        return self._clock() - started_s, self._work_clock() - before_s + self._handovers_s


class _Shape:
    """One batch size, and the durations of its runs while every slot ran the same."""

    def __init__(self, engine: Engine, slots: _Slots, batches: Sequence[Batch]) -> None:
        self._engine = engine
        self._slots = slots
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
        """Run a batch in each slot; return the rate in tokens per second, and the seconds."""
        batch = next(self._turns)
        seconds, work_s = self._slots.seconds(partial(self._engine.run, batch))
        lengths = tuple([item.length for item in batch])
        layout = lay_out(lengths, packed=self._engine.packed)
        self._samples.append(Sample(layout.rows, layout.tokens, seconds))
        self.rates.append(sum(lengths) / work_s)
        return self.rates[-1], seconds

    def rate(self) -> float:
        """Return the median tokens per second, without padding."""
        return statistics.median(self.rates)

    def share_of(self, other: "_Shape") -> float:
        """Return the median ratio to the other's rate, pass by pass, so that noise cancels out."""
        return statistics.median(a / b for a, b in zip(self.rates, other.rates, strict=True))

    def middle(self) -> Sample:
        """Return the sample with the median time per computed token."""
        ordered = sorted(self._samples, key=lambda sample: sample.seconds / sample.tokens)
        return ordered[len(ordered) // 2]


def unpacked_speedup(
    packed: Engine, lane: Lane, max_length: int, conditions: Conditions = _ALONE
) -> float:
    """Return the speed-up of one text a row over packed rows, on the usual mix of lengths.

    Both run texts in the batches that the scheduler would make by the `lane` of the packed engine,
    in turns. Takes about half a second on a CPU. Raises EngineFailed if the engine does.
    """
    lengths = [min(length, max_length) for length in USUAL_LENGTHS] * _MIXES
    budget_tokens = max(lane.max_batch_tokens, _PADDED_BUDGET_TOKENS)
    runs = [
        partial(_run_all, packed, list(in_order(lengths, lane.max_batch_tokens))),
        partial(_run_all, packed.unpacked(), by_length(lengths, budget_tokens, lane.seconds)),
    ]
    ratios: list[float] = []
    clock = conditions.clock
    with _Slots(packed, conditions) as slots:
        for run in runs:
            slots.seconds(run)
        until_s = clock() + _LAYOUTS_ENOUGH_S
        while not ratios or (len(ratios) < _PASSES and clock() < until_s):
            (_, packed_s), (_, unpacked_s) = map(slots.seconds, runs)
            ratios.append(packed_s / unpacked_s)
    return statistics.median(ratios)


def _run_all(engine: Engine, batches: Sequence[Sequence[int]]) -> None:
    for batch in batches:
        engine.run([engine.example(length) for length in batch])


def single_text_speedup(
    many: Engine, one: Engine, length: int, clock: Clock = time.perf_counter
) -> float:
    """Return the speed-up of `one` over `many` for a single text of `length` tokens.

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
