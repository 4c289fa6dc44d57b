"""Warm up one engine: check that it answers, and measure the cost of batches on this machine."""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from math import inf

from serving.inference.cost_model import CostModel, Lane, fit_cost_model
from serving.inference.engine import Engine
from serving.inference.timed_batches import Batch, Clock, Conditions, Shape, Slots
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
_PASSES = 3 * _MIXED_BATCHES
_PACE_RUNS = 2
_PACE_ENOUGH_S = 0.02
_SINGLE_REPEATS = 20
# A slow or busy machine makes fewer passes, so that it does not start late.
_ENOUGH_S = 1.0
_SINGLE_ENOUGH_S = 0.25
_LAYOUT_RUNS = 3
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
# On two CPUs 0.96 to 1.00 of the best size of three models, though a start measures each to no more
# than 10 %. See docs/development/decisions/2026-11-28-the-usual-budget-unless-another-is-faster.md.
_USUAL_TOKENS = 256
# Smaller batches answer sooner, and spread their clients' next requests.
_ENOUGH_SHARE = 0.97

_ALONE = Conditions()


def warm_up(
    engine: Engine, max_length: int, max_batch_tokens: int, conditions: Conditions = _ALONE
) -> tuple[CostModel, Lane]:
    """Run the engine on growing batches in all slots; return its cost, and the lane by it.

    Batches grow fourfold until the rate clearly falls: on a CPU when activations outgrow the cache,
    on a GPU much later. Sizes between and beside the best ones follow. Then all are measured in
    turns, so that other load on the machine affects all alike. The budget is 256 tokens, or the
    largest size below; where others are shown to be at least 3 % faster, it is the smallest of them
    within 3 % of the best. A packed engine runs texts of mixed length, so that the padding of its
    rows counts. Takes two seconds on a CPU. Raises EngineFailed if the engine does.
    """
    clock = conditions.clock
    most_tokens = max(max_batch_tokens, _GROWTH * _FEWEST_TOKENS)
    with Slots(engine, conditions) as slots:

        def begun(batches: Sequence[Batch]) -> Shape:
            shape = Shape(engine, slots, batches)
            shape.begin()
            return shape

        sizes = _sizes(lambda tokens: begun(_batches(engine, tokens, max_length)), most_tokens)
        lengths = [length for length in _LONG_LENGTHS if length <= max_length]
        long = [begun([[engine.example(length)]]) for length in lengths]
        for _ in range(_LONG_RUNS):
            for shape in long:
                shape.run()
        until_s = clock() + _ENOUGH_S
        usual_tokens = max(tokens for tokens in sizes if tokens <= _USUAL_TOKENS)
        usual, running = sizes[usual_tokens], list(sizes.values())
        for number in range(_PASSES):
            if number >= _FEWEST_PASSES:
                running = [shape for shape in running if shape is usual or shape.gain(usual) > 1]
                if len(running) == 1 or clock() > until_s:
                    break
            for shape in running:
                shape.run()
    faster = {t: s.rate() for t, s in sizes.items() if s is not usual and s.is_faster(usual)}
    least_rate = _ENOUGH_SHARE * max(faster.values(), default=0.0)
    budget = min((t for t, rate in faster.items() if rate >= least_rate), default=usual_tokens)
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


def _sizes(begun: Callable[[int], "Shape"], most_tokens: int) -> dict[int, "Shape"]:
    """Return the sizes to measure in turns, in rising order, begun."""
    found: dict[int, Shape] = {}
    seen: dict[int, tuple[float, float]] = {}

    def run(tokens: int) -> tuple[float, float]:
        shape = found[tokens] = begun(tokens)
        return max(shape.run() for _ in range(_SEARCH_RUNS))

    best, tokens = 0.0, _FEWEST_TOKENS
    while tokens <= most_tokens:
        rate, seconds = seen[tokens] = run(tokens)
        hopeless = tokens >= _USUAL_TOKENS and rate < best * _HOPELESS_SHARE
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


def pace_s(
    engine: Engine, budget_tokens: int, max_length: int, conditions: Conditions = _ALONE
) -> float:
    """Return the least seconds, of a few runs, of one usual batch of the budget in every slot.

    Of CPU time, where `conditions` count that. Raises EngineFailed if the engine does.
    """
    run = partial(engine.run, _batches(engine, budget_tokens, max_length)[0])
    with Slots(engine, conditions) as slots:
        slots.seconds(run)
        until_s, seen_s = conditions.clock() + _PACE_ENOUGH_S, list[float]()
        while len(seen_s) < _PACE_RUNS or conditions.clock() < until_s:
            seen_s.append(slots.seconds(run)[1])
    return min(seen_s)


def unpacked_speedup(
    packed: Engine,
    lane: Lane,
    max_length: int,
    worthwhile: float,
    conditions: Conditions = _ALONE,
) -> float:
    """Return the speed-up of one text a row over packed rows, on the usual mix of lengths.

    It is the least of three, or the first below `worthwhile`: a single one is often a tenth off.
    Both run texts in the batches that the scheduler would make by the `lane` of the packed engine,
    in turns. Every slot runs 128 texts, or 256 where one text a row wins. Raises EngineFailed if
    the engine does.
    """
    lengths = [min(length, max_length) for length in USUAL_LENGTHS] * _MIXES
    budget_tokens = max(lane.max_batch_tokens, _PADDED_BUDGET_TOKENS)
    runs = [
        partial(_run_all, packed, list(in_order(lengths, lane.max_batch_tokens))),
        partial(_run_all, packed.unpacked(), by_length(lengths, budget_tokens, lane.seconds)),
    ]
    least = inf
    with Slots(packed, conditions) as slots:
        for run in runs:
            slots.seconds(run)
        for _ in range(_LAYOUT_RUNS):
            (_, packed_s), (_, unpacked_s) = map(slots.seconds, runs)
            least = min(least, packed_s / unpacked_s)
            if least < worthwhile:
                break
    return least


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
