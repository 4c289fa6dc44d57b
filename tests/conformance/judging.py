"""One cell of the table: a bundle's answers on one engine, held to those of transformers."""

import contextlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from unittest import mock

import numpy as np
import openvino

from serving.errors import BundleError, EngineFailed, StartError
from serving.inference.engine import Resources
from serving.inference.engine_selection import ENGINES
from serving.inference.probes import probe
from serving.inference.tokenizer import open_tokenizer
from serving.offline.bulk_classifier import Bulk, BulkAnswer, LengthLimits
from tests.conformance.inputs import BLANK, CUT, CUT_PAIRS, PAIRS, SINGLE

EQUAL = "equal"
KINDS = ("single", "pair", "cut", "batch")
TOLERANCE = 2e-4
_ONE_BY_ONE, _ALL_TOGETHER = 1, 10_000
_LIMITS = LengthLimits(max_text_chars=20_000, truncate=True)
_VARYING = (
    (r"/\S*/", ""),
    (r"\[ONNXRuntimeError\] : \d+ : \w+ : ", ""),
    (r"\d\.\d+(e[-+]?\d+)?", "..."),
    (r"\s+", " "),
    # The names of this suite's folders, and the same advice in each.
    (r"^((adopted|classifier|export): )+", ""),
    (r"[:;] use a model of another architecture, such as.*", ""),
)
_MOST_CHARS = 200


@dataclass(frozen=True)
class Refused:
    """The product or the library says why not."""

    reason: str


@dataclass(frozen=True)
class Failing:
    """Wrong answers, or an error that is no refusal."""

    fault: str


def words(error):
    """An error's message without what differs from run to run."""
    text = str(error)
    for pattern, instead in _VARYING:
        text = re.sub(pattern, instead, text)
    text = text.strip().rstrip(".")
    return text if len(text) <= _MOST_CHARS else text[:_MOST_CHARS].rsplit(" ", 1)[0] + "..."


def texts_of(kind, *, pairs):
    """What is asked in one cell."""
    if pairs:
        return {"pair": PAIRS, "cut": CUT_PAIRS, "batch": PAIRS + CUT_PAIRS}.get(kind, [])
    return {"single": SINGLE + BLANK, "cut": CUT, "batch": SINGLE + BLANK + CUT}.get(kind, [])


def judge(bundle, engine_name, reference, kinds):
    """Each kind of the bundle's cells on one engine: EQUAL, Refused or Failing."""
    try:
        with in_fp32():
            engine = ENGINES[engine_name](bundle, Resources("cpu", threads=1, slots=1))
        tokenizer = open_tokenizer(bundle)
    except (BundleError, StartError) as error:
        return dict.fromkeys(kinds, Refused(words(error)))
    found = {}
    for kind in kinds:
        cell = Cell(bundle.manifest, engine, tokenizer, reference, kind)
        try:
            fault = next(cell.faults(), "")
        except EngineFailed as error:
            fault = words(error)
        found[kind] = Failing(fault) if fault else EQUAL
    if any(isinstance(outcome, Failing) for outcome in found.values()):
        # The server probes a bundle before it serves any text.
        try:
            probe(engine, tokenizer, bundle.manifest)
        except BundleError as error:
            return dict.fromkeys(kinds, Refused(words(error)))
    return found


@contextlib.contextmanager
def in_fp32():
    """OpenVINO rounds to bf16 where the processor can, behind which a wrong answer could hide."""
    made = openvino.Core

    def core():
        exact = made()
        exact.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return exact

    with mock.patch.object(openvino, "Core", core):
        yield


class Cell:
    """A bundle's answers on an engine to the texts of one kind, beside what transformers answers.

    A batch may equal transformers' own batch instead: padding changes a few architectures' answers.
    """

    def __init__(self, manifest, engine, tokenizer, reference, kind):
        self._manifest, self._engine, self._tokenizer = manifest, engine, tokenizer
        self._texts = texts_of(kind, pairs=manifest.pairs)
        self._expected = reference.answers(self._texts)
        self._answered = [i for i, each in enumerate(self._expected) if each.logits is not None]
        self._together = kind == "batch"
        texts = [self._texts[index] for index in self._answered]
        padded = reference.together(texts) if self._together else reference.logits(texts)
        self._padded = dict(zip(self._answered, padded, strict=True))

    def faults(self):
        """Yield what is wrong, the plainest first."""
        encodings = self._tokenizer.encode(self._texts)
        for text, encoding, wanted in zip(self._texts, encodings, self._expected, strict=True):
            yield from _faults_of_tokens(text, encoding, wanted)
        for batch in [self._answered] if self._together else [[i] for i in self._answered]:
            logits = self._engine.run([encodings[index] for index in batch])
            for index, got in zip(batch, logits, strict=True):
                alone = self._expected[index].logits
                difference = min(
                    self._difference(got, like) for like in (alone, self._padded[index])
                )
                if difference > TOLERANCE * (1 + np.abs(alone).max()):
                    yield f"{_shown(self._texts[index])} has other logits, by {difference:.1e}"
        yield from self._faults_of_scores()

    def _difference(self, got, wanted):
        manifest = self._manifest
        if manifest.graph_output == "probabilities" and manifest.problem_type == "single_label":
            # A softmax leaves of logits only what they are beside each other.
            got, wanted = got - _log_sum(got), wanted - _log_sum(wanted)
        return np.abs(got - wanted).max()

    def _faults_of_scores(self):
        budget = _ALL_TOGETHER if self._together else _ONE_BY_ONE
        with ThreadPoolExecutor(1) as slots:
            parts = (self._manifest, self._tokenizer, self._engine, slots)
            bulk = Bulk(*parts, budget_tokens=budget, limits=_LIMITS)
            answers = bulk.answers(self._texts, lambda _count: None)
        for index, (answer, wanted) in enumerate(zip(answers, self._expected, strict=True)):
            shown = _shown(self._texts[index])
            if wanted.logits is None:
                if isinstance(answer, BulkAnswer):
                    yield f"{shown} is answered, which transformers cannot"
            elif not isinstance(answer, BulkAnswer):
                yield f"{shown} is not answered: {words(answer)}"
            else:
                scores = dict(zip(self._manifest.labels, answer.scores, strict=True))
                padded = dict(zip(scores, _softmax(self._padded[index]), strict=True))
                likes = (wanted.scores, padded) if self._together else (wanted.scores,)
                if not any(_alike(scores, each) for each in likes):
                    yield f"{shown} has the scores {scores}, not {wanted.scores}"
                if answer.truncated != (wanted.full_length > len(wanted.ids)):
                    yield f"{shown} says truncated: {answer.truncated}"


def _faults_of_tokens(text, encoding, wanted):
    if list(encoding.ids) != wanted.ids:
        yield f"{_shown(text)} has the tokens {list(encoding.ids)}, not {wanted.ids}"
    types = list(encoding.types or [0] * len(encoding.ids))
    if wanted.types is not None and types != wanted.types:
        yield f"{_shown(text)} has the segments {types}, not {wanted.types}"
    if encoding.full_length != wanted.full_length:
        yield f"{_shown(text)} has {encoding.full_length} tokens, not {wanted.full_length}"


def _alike(scores, wanted):
    return scores.keys() == wanted.keys() and all(
        abs(scores[name] - wanted[name]) <= TOLERANCE * 3 for name in scores
    )


def _softmax(logits):
    return np.exp(logits - _log_sum(logits))


def _log_sum(logits):
    """What a softmax takes away."""
    return logits.max() + np.log(np.exp(logits - logits.max()).sum())


def _shown(text):
    return f"{text!r:.40}"
