"""A bundle's predictions on many texts, by serving's own tokenizer and engine, and their speed."""

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
from serving.bundles.bundle import Bundle, Manifest
from serving.bundles.windows import Long, Windows, windows_beside
from serving.errors import BundleError, TextTooLong
from serving.inference.cpu import usable_cores
from serving.inference.engine import Engine, EngineName, Resources, runs_as
from serving.inference.engine_selection import ENGINES, reference
from serving.inference.inputs import Encoding, Text, why_no_tokens
from serving.inference.tokenizer import open_tokenizer
from serving.inference.windows import UNBOUNDED, Windowing, joined, windowing_of, windows_of

_TIMED_TEXTS = 512
_TIMED_REPEATS = 3
_TIMED_BATCH_TOKENS = 256


def windows_for(bundle: Bundle, long: Long | None) -> Windows | None:
    """Return how a family's long texts are answered in windows; None if they are truncated.

    Without `long`, as the family's default says. Raises BundleError.
    """
    windows = windows_beside(bundle)
    return windows if (long or windows.long) == "windows" else None


class Predictor:
    """A loaded bundle, to run on many texts at once."""

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine | None = None,
        name: EngineName | None = None,
        windows: Windows | None = None,
    ) -> None:
        """Load the bundle into its reference engine, or take an `engine`, by its `name`.

        With `windows`, long texts are answered in windows, however many, and not truncated.
        Raises BundleError or StartError when the engine cannot load it, or it reads no texts.
        """
        self._manifest = bundle.manifest
        self._windowing = windowing_of(windows, bundle.manifest, UNBOUNDED) if windows else None
        tokenizer = open_tokenizer(bundle)
        if tokenizer is None:
            raise BundleError(f"{bundle.folder} reads tensors: texts cannot measure it")
        self._tokenizer = tokenizer
        name = name or reference(bundle)
        self._engine = engine or ENGINES[name](bundle, Resources("cpu", usable_cores()))
        self.runs_as = runs_as(name, self._engine, bundle.manifest.precision)

    def lengths(self, texts: Sequence[Text]) -> npt.NDArray[np.int64]:
        """Return the tokens of each text, as the model reads it; in windows, of the whole text."""
        encodings = self._tokenizer.encode(texts)
        return np.array(
            [each.full_length if self._windowing else each.length for each in encodings]
        )

    def too_long(self, texts: Sequence[Text]) -> list[tuple[int, int]]:
        """Return the index and the tokens of each text that the model does not read whole."""
        encodings = self._tokenizer.encode(texts)
        return [(n, each.full_length) for n, each in enumerate(encodings) if each.truncated]

    def logits(self, texts: Sequence[Text], batch_texts: int = 1, *, shown: bool = True) -> Floats:
        """Return the logits, of shape (texts, labels); long texts are truncated or in windows.

        Progress is `shown`, unless the caller shows its own.

        Each batch has the next `batch_texts` texts, padded to the longest. With one text a batch
        no prediction depends on another text, as it may in a dynamically quantized graph.
        Raises BundleError naming a text that has no tokens.
        """
        if not self._windowing:
            return self._run(
                [each for (each,) in self._windows(texts, None)], batch_texts, shown=shown
            )
        rows = self.window_logits(texts, self._windowing, batch_texts, shown=shown)
        found = [
            joined(its.tolist(), self._manifest, self._windowing).logits
            if len(its) > 1
            else its[0].tolist()
            for its in rows
        ]
        return np.array(found)

    def window_logits(
        self,
        texts: Sequence[Text],
        windowing: Windowing,
        batch_texts: int = 1,
        *,
        shown: bool = True,
    ) -> list[Floats]:
        """Return the logits of each text's windows, of shape (windows, labels)."""
        windows = self._windows(texts, windowing)
        found = self._run([each for its in windows for each in its], batch_texts, shown=shown)
        return np.split(found, np.cumsum([len(its) for its in windows])[:-1])

    def _windows(self, texts: Sequence[Text], windowing: Windowing | None) -> list[list[Encoding]]:
        """Return what runs for each text."""
        run = []
        for text, encoding in zip(texts, self._tokenizer.encode(texts), strict=True):
            if not encoding.length:
                raise BundleError(
                    f"{self._manifest.variant}: {text!r} has no tokens: {why_no_tokens(encoding)}: "
                    "remove it from the data"
                )
            windows = [encoding]
            if windowing and encoding.truncated:
                try:
                    windows = windows_of(
                        self._tokenizer.whole(text), self._manifest, windowing
                    ).windows
                except TextTooLong as error:
                    raise BundleError(f"{self._manifest.variant}: {error.detail}") from error
            run.append(windows)
        return run

    def _run(
        self, encodings: Sequence[Encoding], batch_texts: int, *, shown: bool = True
    ) -> Floats:
        batches = [encodings[at : at + batch_texts] for at in range(0, len(encodings), batch_texts)]
        with ThreadPoolExecutor(self._engine.slots) as slots:
            found = slots.map(self._engine.run, batches)
            if shown:
                label = f"{self._manifest.variant}, {batch_texts} texts a batch"
                found = progress(found, total=len(batches), does=label, units="batches")
            rows = list(found)
        return np.concatenate(rows).astype(np.float64)

    def latencies_s(self, texts: Sequence[str]) -> Floats:
        """Measure each text's seconds when nothing else runs, tokenization included."""
        self._engine.run(self._tokenizer.encode(texts[:1]))
        found = []
        for text in texts:
            started_s = time.perf_counter()
            for windows in self._windows([text], self._windowing):
                self._engine.run(windows)
            found.append(time.perf_counter() - started_s)
        return np.array(found)

    def texts_per_second(self, texts: Sequence[Text]) -> float:
        """Measure the throughput on all cores, tokenization included: the median of three passes.

        Up to 512 texts are sorted by length into batches of at most 256 padded tokens.
        """
        timed = list(texts[:_TIMED_TEXTS])
        return statistics.median(self._timed(timed) for _ in range(_TIMED_REPEATS))

    def _timed(self, texts: list[Text]) -> float:
        started_s = time.perf_counter()
        encodings = [each for its in self._windows(texts, self._windowing) for each in its]
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


def kind_of(manifest: Manifest) -> ProblemType:
    """Return whether a bundle of labels gives each text one of them or any number."""
    return "multi_label" if manifest.multi_label else "single_label"


def probabilities(logits: Floats, problem_type: ProblemType, temperature: float) -> Floats:
    """Apply softmax, or sigmoid with multi_label, to logits / temperature (texts, labels)."""
    if problem_type == "multi_label":
        return np.asarray(special.expit(logits / temperature))
    return np.asarray(special.softmax(logits / temperature, axis=1))


def predicted(logits: Floats, problem_type: ProblemType) -> Flags:
    """Return the predicted labels: the largest logit, or with multi_label all that reach 0.5."""
    if problem_type == "multi_label":
        return np.asarray(logits >= 0)
    return np.asarray(np.eye(logits.shape[1], dtype=np.bool_)[logits.argmax(axis=1)])
