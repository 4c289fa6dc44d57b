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
from tqdm import tqdm

from models.answers import Answerer
from models.intervals import Floats
from serving.bundle import Bundle
from serving.engine import Resources
from serving.engines import ENGINES, reference
from serving.tokenizer import Tokenizer

_ROUNDS = 3
_LONE_TEXTS = 200
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Costs:
    """`batched_s` are core seconds a text, of shape (variants,); `alone_s` (variants, texts)."""

    batched_s: Floats
    alone_s: Floats


def measured(loaded: Mapping[str, tuple[Bundle, Answerer]], texts: Sequence[str]) -> Costs:
    """Of each variant, in interleaved rounds of which the median counts; of 200 texts alone.

    Each round begins with another variant, so that a drift of the machine hits all alike.
    """
    names, rounds = list(loaded), []
    with tqdm(total=(_ROUNDS + 1) * len(names), desc="cost", unit="variant") as bar:
        for number in range(_ROUNDS):
            spent = {}
            for name in np.roll(names, number).tolist():
                spent[name] = _batched_s(loaded[name][1], texts)
                bar.update()
            rounds.append([spent[name] for name in names])
        alone = []
        for bundle, _ in loaded.values():
            alone.append(_alone_s(bundle, texts[:_LONE_TEXTS]))
            bar.update()
    return Costs(np.median(rounds, axis=0), np.stack(alone))


def machine() -> str:
    """The processor and the cores that this process may use."""
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.is_file() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(models, platform.machine())}, {_cores()} cores"


def _batched_s(answerer: Answerer, texts: Sequence[str]) -> float:
    """Cores in use over texts per second: who else uses the cores takes from both alike."""
    started_s, used_s = time.perf_counter(), time.process_time()
    rate = answerer.texts_per_second(texts)
    return (time.process_time() - used_s) / (time.perf_counter() - started_s) / rate


def _alone_s(bundle: Bundle, texts: Sequence[str]) -> Floats:
    """Seconds of each text, tokenization included, on one core or on all: as serving chooses."""
    tokenizer = Tokenizer(bundle.tokenizer_path, bundle.manifest.max_length)
    found = []
    for slots in {1, _cores()}:
        engine = ENGINES[reference(bundle)](bundle, Resources("cpu", _cores(), slots))
        engine.run(tokenizer.encode(texts[:1]))
        seconds = []
        for text in texts:
            started_s = time.perf_counter()
            engine.run(tokenizer.encode([text]))
            seconds.append(time.perf_counter() - started_s)
        found.append(np.array(seconds))
    return min(found, key=lambda each: float(np.median(each)))


def _cores() -> int:
    return len(os.sched_getaffinity(0))
