"""Warm up one engine: check that it answers, and measure the cost of batches on this machine."""

import statistics
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Self

from serving.background import Threads
from serving.inference.cost_model import CostModel, Lane, Sample, fit_cost_model
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
# So many tokens hold all of the usual lengths, twice.
_MIXED_TOKENS = 1024
_SEARCH_RUNS = 2
_LONG_RUNS = 2
# Each mixed batch counts as often as the others.
_FEWEST_PASSES = _MIXED_BATCHES
_PASSES = 2 * _MIXED_BATCHES
_PACE_RUNS = 2
_PACE_ENOUGH_S = 0.02
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
_LONGEST_BATCH_S = 0.15
_HOPELESS_SHARE = 0.85
# Beside a size of this share of the best rate, another size may be the one to take.
_NEAR_SHARE = 0.9
# Smaller batches answer sooner, and spread their clients' next requests.
_ENOUGH_SHARE = 0.97
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
) -> tuple[CostModel, Lane]:
    """Run the engine on growing batches in all slots; return its cost, and the lane by it.

    Batches grow fourfold until the rate clearly falls: on a CPU when activations outgrow the cache,
    on a GPU much later. Sizes between and beside the best ones follow. Then all are measured in
    turns, so that other load on the machine affects all alike. The budget is the smallest size
    within 3 % of the best median rate. A packed engine runs texts of mixed length, so that the
    padding of its rows counts. Takes two seconds on a CPU. Raises EngineFailed if the engine does.
    """
    clock = conditions.clock
    most_tokens = max(max_batch_tokens, _GROWTH * _FEWEST_TOKENS)
    with _Slots(engine, conditions) as slots:

        def begun(batches: Sequence[Batch]) -> _Shape:
            shape = _Shape(engine, slots, batches)
            shape.begin()
            return shape

        sizes = _sizes(lambda tokens: begun(_batches(engine, tokens, max_length)), most_tokens)
        lengths = [length for length in _LONG_LENGTHS if length <= max_length]
        long = [begun([[engine.example(length)]]) for length in lengths]
        for _ in range(_LONG_RUNS):
            for shape in long:
                shape.run()
        until_s = clock() + _ENOUGH_S
        for number in range(_PASSES):
            more = number >= _FEWEST_PASSES
            if more and clock() > until_s:
                break
            for shape in _best(sizes.values(), _NEAR_SHARE) if more else sizes.values():
                shape.run()
    enough = _best(sizes.values(), _ENOUGH_SHARE)
    budget = next(tokens for tokens, shape in sizes.items() if shape in enough)
    model = fit_cost_model([s.middle() for s in sizes.values()], [s.middle() for s in long])
    return model, Lane(model.seconds, budget, engine.packed, engine.preempts)


def _batches(engine: Engine, tokens: int, max_length: int) -> Sequence[Batch]:
    """Return batches of about so many tokens: several of the usual mix, or one of short texts."""
    short = min(_PACKED_TOKENS if engine.packed else _SHORT_LENGTH, max_length)
    if engine.packed and tokens >= short:
        mix = cycle(min(length, max_length) for length in USUAL_LENGTHS)
        batches = min(_MIXED_BATCHES, max(1, _MIXED_TOKENS // tokens))
        plan = islice(in_order(mix, tokens), batches)
        return [[engine.example(length) for length in batch] for batch in plan]
    length = min(tokens, short)
    return [[engine.example(length)] * (tokens // length)]


def _sizes(begun: Callable[[int], "_Shape"], most_tokens: int) -> dict[int, "_Shape"]:
    """Return the sizes to measure in turns, in rising order, begun."""
    found: dict[int, _Shape] = {}
    seen: dict[int, tuple[float, float]] = {}

    def run(tokens: int) -> tuple[float, float]:
        shape = found[tokens] = begun(tokens)
        return max(shape.run() for _ in range(_SEARCH_RUNS))

    best, tokens = 0.0, _FEWEST_TOKENS
    while tokens <= most_tokens:
        rate, seconds = seen[tokens] = run(tokens)
        hopeless = rate < best * _HOPELESS_SHARE
        best = max(best, rate)
        tokens *= _GROWTH
        if len(seen) >= _FEWEST_SIZES and (seconds * _GROWTH > _LONGEST_BATCH_S or hopeless):
            break
    for tokens, (rate, seconds) in seen.items():
        above, _ = seen.get(tokens * _GROWTH, (0.0, 0.0))
        between = tokens * _GROWTH // 2
        allowed = between <= most_tokens and (above or seconds * 2 <= _LONGEST_BATCH_S)
        if allowed and max(rate, above) >= best * _NEAR_SHARE:
            run(between)
    for shape in found.values():
        shape.forget()
    return dict(sorted(found.items()))


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
    """Batches of one size, and the durations of their runs while every slot ran the same."""

    def __init__(self, engine: Engine, slots: _Slots, batches: Sequence[Batch]) -> None:
        self._engine = engine
        self._slots = slots
        self._turns = cycle(enumerate(batches))
        self._tokens = [sum(item.length for item in batch) for batch in batches]
        self._samples: list[Sample] = []
        self._work_s: list[list[float]] = [[] for _ in batches]

    def begin(self) -> None:
        """Run each batch once, uncounted, to allocate and compile."""
        for _ in self._work_s:
            self.run()
        self.forget()

    def forget(self) -> None:
        """Count only what follows."""
        self._samples.clear()
        for each in self._work_s:
            each.clear()

    def run(self) -> tuple[float, float]:
        """Run a batch in each slot; return the rate in tokens per second, and the seconds."""
        number, batch = next(self._turns)
        seconds, work_s = self._slots.seconds(partial(self._engine.run, batch))
        layout = lay_out(tuple([item.length for item in batch]), packed=self._engine.packed)
        self._samples.append(Sample(layout.rows, layout.tokens, seconds))
        self._work_s[number].append(work_s)
        return self._tokens[number] / work_s, seconds

    def rate(self) -> float:
        """Return the tokens per second, without padding, of the median runs of all batches."""
        return sum(self._tokens) / sum(map(statistics.median, self._work_s))

    def middle(self) -> Sample:
        """Return the sample with the median time per computed token."""
        ordered = sorted(self._samples, key=lambda sample: sample.seconds / sample.tokens)
        return ordered[(len(ordered) - 1) // 2]


def _best(shapes: Collection[_Shape], share: float) -> list[_Shape]:
    """Return those whose rate is at least this share of the best."""
    least = share * max(map(_Shape.rate, shapes))
    return [shape for shape in shapes if shape.rate() >= least]


def pace_s(
    engine: Engine, budget_tokens: int, max_length: int, conditions: Conditions = _ALONE
) -> float:
    """Return the least seconds, of a few runs, of one usual batch of the budget in every slot.

    Of CPU time, where `conditions` count that. Raises EngineFailed if the engine does.
    """
    run = partial(engine.run, _batches(engine, budget_tokens, max_length)[0])
    with _Slots(engine, conditions) as slots:
        slots.seconds(run)
        until_s, seen_s = conditions.clock() + _PACE_ENOUGH_S, list[float]()
        while len(seen_s) < _PACE_RUNS or conditions.clock() < until_s:
            seen_s.append(slots.seconds(run)[1])
    return min(seen_s)


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
