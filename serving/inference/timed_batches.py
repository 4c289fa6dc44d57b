"""Batches timed while every slot of an engine runs the same."""

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Self

from serving.background import Threads
from serving.inference.cost_model import Sample
from serving.inference.cpu import yield_cores
from serving.inference.engine import Engine
from serving.inference.inputs import Item
from serving.inference.packing import lay_out

_FASTER = 1.03
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


class Slots:
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


class Shape:
    """Batches of one size, and the durations of their runs while every slot ran the same."""

    def __init__(self, engine: Engine, slots: Slots, batches: Sequence[Batch]) -> None:
        self._engine = engine
        self._slots = slots
        self._turns = cycle(enumerate(batches))
        self._tokens = [sum(item.length for item in batch) for batch in batches]
        self._samples: list[Sample] = []
        self._work_s: list[list[float]] = [[] for _ in batches]
        self.rates: list[float] = []
        """Tokens per second of each run."""

    def begin(self) -> None:
        """Run each batch once, uncounted, to allocate and compile."""
        for _ in self._work_s:
            self.run()
        self.forget()

    def forget(self) -> None:
        """Count only what follows."""
        self._samples.clear()
        self.rates.clear()
        for each in self._work_s:
            each.clear()

    def run(self) -> tuple[float, float]:
        """Run a batch in each slot; return the rate in tokens per second, and the seconds."""
        number, batch = next(self._turns)
        seconds, work_s = self._slots.seconds(partial(self._engine.run, batch))
        layout = lay_out(tuple([item.length for item in batch]), packed=self._engine.packed)
        self._samples.append(Sample(layout.rows, layout.tokens, seconds))
        self._work_s[number].append(work_s)
        self.rates.append(self._tokens[number] / work_s)
        return self.rates[-1], seconds

    def _gains(self, other: "Shape") -> list[float]:
        return [a / b for a, b in zip(self.rates, other.rates, strict=False)]

    def gain(self, other: "Shape") -> float:
        """Return the median, over the passes, of the rate relative to the other's."""
        return statistics.median(self._gains(other))

    def is_faster(self, other: "Shape") -> bool:
        """Whether that is worth a change, and all but a quarter of the passes agree."""
        gains = self._gains(other)
        return statistics.median(gains) > _FASTER and statistics.quantiles(gains, n=4)[0] > 1

    def rate(self) -> float:
        """Return the tokens per second, without padding, of the median runs of all batches."""
        return sum(self._tokens) / sum(map(statistics.median, self._work_s))

    def middle(self) -> Sample:
        """Return the sample with the median time per computed token."""
        ordered = sorted(self._samples, key=lambda sample: sample.seconds / sample.tokens)
        return ordered[(len(ordered) - 1) // 2]
