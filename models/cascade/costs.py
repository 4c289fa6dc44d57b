"""Measures variants on this machine: core seconds a text in full batches, and latency alone."""

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.evaluation.predictions import Predictor
from models.evaluation.statistics import Floats
from models.progress import progress
from serving.inference.cpu import usable_cores

_ROUNDS = 3
_SINGLE_TEXTS = 200
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Costs:
    """Core seconds a text in full batches, (variants,), and seconds of single texts.

    `latencies_s` has the shape (variants, texts).
    """

    batched_s: Floats
    latencies_s: Floats


Measure = Callable[[Mapping[str, Predictor], Sequence[str]], Costs]
"""Measures loaded variants on texts."""


def measured(loaded: Mapping[str, Predictor], texts: Sequence[str]) -> Costs:
    """Measure each variant: the median of three interleaved rounds, and up to 200 single texts.

    Each round starts with another variant, so that a drift of the machine affects all alike.
    """
    names, rounds = list(loaded), []
    with progress(total=(_ROUNDS + 1) * len(names), does="cost", units="measurements") as bar:
        for number in range(_ROUNDS):
            spent = {}
            for name in np.roll(names, number).tolist():
                spent[name] = _batched_s(loaded[name], texts)
                bar.update()
            rounds.append([spent[name] for name in names])
        latencies = []
        for predictor in loaded.values():
            latencies.append(predictor.latencies_s(texts[:_SINGLE_TEXTS]))
            bar.update()
    return Costs(np.median(rounds, axis=0), np.stack(latencies))


def machine() -> str:
    """Name the processor and the number of cores that this process may use."""
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.is_file() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(models, platform.machine())}, {usable_cores()} cores"


def _batched_s(predictor: Predictor, texts: Sequence[str]) -> float:
    """Cores in use divided by texts per second: other processes lower both alike."""
    started_s, used_s = time.perf_counter(), time.process_time()
    rate = predictor.texts_per_second(texts)
    return (time.process_time() - used_s) / (time.perf_counter() - started_s) / rate
