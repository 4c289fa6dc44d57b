"""A bundle's answers to many texts, by serving's own tokenizer and engine.

It does not know whether the answers are right.
"""

import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from scipy import special

from models.evaluation.statistics import Flags, Floats
from models.progress import progress
from models.recipe_sections import ProblemType
from serving.bundles.bundle import Bundle
from serving.inference.engine import Engine, Resources
from serving.inference.engine_selection import ENGINES, reference
from serving.inference.inputs import Encoding
from serving.inference.tokenizer import Tokenizer

_TIMED_TEXTS = 512
_TIMED_REPEATS = 3
_TIMED_BATCH_TOKENS = 256


class Answerer:
    """A loaded bundle."""

    def __init__(self, bundle: Bundle, engine: Engine | None = None) -> None:
        """On the bundle's reference engine, or on another of it.

        Raises BundleError or StartError when the engine cannot load it.
        """
        self._variant = bundle.manifest.variant
        self._tokenizer = Tokenizer(bundle.tokenizer_path, bundle.manifest.max_length)
        self._engine = engine or ENGINES[reference(bundle)](
            bundle, Resources("cpu", len(os.sched_getaffinity(0)))
        )

    def lengths(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Tokens of each text, as the model sees it."""
        return np.array([encoding.length for encoding in self._tokenizer.encode(texts)])

    def logits(self, texts: Sequence[str], batch_texts: int = 1) -> Floats:
        """Of shape (texts, labels), in order; long texts are cut.

        Batches are `batch_texts` neighbours in the given order, padded to the longest. With one
        text a batch no answer depends on another text, as it may in a dynamically quantised graph.
        """
        encodings = self._tokenizer.encode(texts)
        batches = [encodings[at : at + batch_texts] for at in range(0, len(encodings), batch_texts)]
        with ThreadPoolExecutor(self._engine.slots) as slots:
            answers = slots.map(self._engine.run, batches)
            label = f"{self._variant}, {batch_texts} a batch"
            rows = list(progress(answers, total=len(batches), does=label, units="batches"))
        return np.concatenate(rows).astype(np.float64)

    def alone_s(self, texts: Sequence[str]) -> Floats:
        """Seconds of each text when nothing else runs, tokenization included."""
        self._engine.run(self._tokenizer.encode(texts[:1]))
        found = []
        for text in texts:
            started_s = time.perf_counter()
            self._engine.run(self._tokenizer.encode([text]))
            found.append(time.perf_counter() - started_s)
        return np.array(found)

    def texts_per_second(self, texts: Sequence[str]) -> float:
        """Throughput on all cores, tokenization included: the median of three passes.

        Batches are sorted by length, of at most 256 padded tokens; at most 512 texts are timed.
        """
        timed = list(texts[:_TIMED_TEXTS])
        return statistics.median(self._timed(timed) for _ in range(_TIMED_REPEATS))

    def _timed(self, texts: list[str]) -> float:
        started_s = time.perf_counter()
        encodings = self._tokenizer.encode(texts)
        encodings.sort(key=lambda encoding: encoding.length, reverse=True)
        batches: list[list[Encoding]] = []
        for encoding in encodings:
            longest = batches[-1][0].length if batches else 0
            if not batches or (len(batches[-1]) + 1) * longest > _TIMED_BATCH_TOKENS:
                batches.append([])
            batches[-1].append(encoding)
        with ThreadPoolExecutor(self._engine.slots) as slots:
            list(slots.map(self._engine.run, batches))
        return len(texts) / (time.perf_counter() - started_s)


def probabilities(logits: Floats, problem_type: ProblemType, temperature: float) -> Floats:
    """Tempered softmax or sigmoid, of the same shape (texts, labels)."""
    if problem_type == "multi_label":
        return np.asarray(special.expit(logits / temperature))
    return np.asarray(special.softmax(logits / temperature, axis=1))


def predicted(logits: Floats, problem_type: ProblemType) -> Flags:
    """Which labels are answered: the largest, or with multi_label those of at least 0.5."""
    if problem_type == "multi_label":
        return np.asarray(logits >= 0)
    return np.asarray(np.eye(logits.shape[1], dtype=np.bool_)[logits.argmax(axis=1)])
