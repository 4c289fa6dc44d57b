"""What variants cost on this machine: core seconds in full batches, and seconds of a lone text.

It does not know what they answer.
"""

import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.evaluation.predictions import Answerer
from models.evaluation.statistics import Floats
from models.progress import progress

_ROUNDS = 3
_SINGLE_TEXTS = 200
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Costs:
    """`batched_s` are core seconds a text, of shape (variants,); `alone_s` (variants, texts)."""

    batched_s: Floats
    alone_s: Floats


def measured(loaded: Mapping[str, Answerer], texts: Sequence[str]) -> Costs:
    """Of each variant, in interleaved rounds of which the median counts; of 200 texts alone.

    Each round begins with another variant, so that a drift of the machine hits all alike.
    """
    names, rounds = list(loaded), []
    with progress(total=(_ROUNDS + 1) * len(names), does="cost", units="measurements") as bar:
        for number in range(_ROUNDS):
            spent = {}
            for name in np.roll(names, number).tolist():
                spent[name] = _batched_s(loaded[name], texts)
                bar.update()
            rounds.append([spent[name] for name in names])
        alone = []
        for answerer in loaded.values():
            alone.append(answerer.alone_s(texts[:_SINGLE_TEXTS]))
            bar.update()
    return Costs(np.median(rounds, axis=0), np.stack(alone))


def machine() -> str:
    """The processor and the cores that this process may use."""
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.is_file() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(models, platform.machine())}, {cores()} cores"


def _batched_s(answerer: Answerer, texts: Sequence[str]) -> float:
    """Cores in use over texts per second: who else uses the cores takes from both alike."""
    started_s, used_s = time.perf_counter(), time.process_time()
    rate = answerer.texts_per_second(texts)
    return (time.process_time() - used_s) / (time.perf_counter() - started_s) / rate


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))
