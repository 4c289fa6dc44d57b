"""Probe an engine with the inputs on which graphs and tokenizers fail, before clients send them."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, pairwise

import numpy as np

from serving.bundles.bundle import Manifest
from serving.bundles.tensor_input import TensorInput
from serving.errors import BundleError, failures
from serving.inference.engine import Engine, Logits
from serving.inference.inputs import DATATYPES, Encoding, Item, Row, Text, Unreadable
from serving.inference.tokenizer import Tokenizer

Clock = Callable[[], float]

_WORDS = (
    "the a service was quick and friendly but our second order came late cold and without any "
    "word of apology so I would not go there again even though the food itself is really good"
)
# Words that few vocabularies hold, and characters of which tokenizers have lost one.
_TEXTS = ("a", "", _WORDS[:60], f"xqzj {'w' * 300} 12.50 €", "\u200b\x07 très 中文 \U0001f600 no!!")
_SENTENCE = 2
_ROWS = 8
# A text of max_length is only run at load time if the shorter ones let expect no more than this.
_COSTLY_S = 1.0
_FIRST_LENGTH = 32
_GROWTH = 4
_SUM_TOLERANCE = 1e-3
_PERCENT = 100.0


def probe(
    engine: Engine,
    tokenizer: Tokenizer | None,
    manifest: Manifest,
    *,
    thorough: bool = True,
    on_step: Callable[[str], None] = lambda _step: None,
    clock: Clock = time.process_time,
) -> list[str]:
    """Run the inputs on which bundles fail; return a sentence for each thing that is suspicious.

    Those are short, blank and odd texts, the largest token id that the tokenizer can produce, a
    text of `max_length` tokens, and a batch of mixed lengths, which is compared with its texts one
    by one; of a model of tensors, rows of small numbers. Texts grow fourfold up to `max_length`.
    Unless `thorough`, they stop where the next would take more than a second of CPU time.
    `on_step` is told what is about to run.
    Raises BundleError in the words of the library that fails.
    """
    run = _Runs(engine, on_step)
    if tokenizer is None:
        rows = tensor_rows(manifest.tensors)
        alone = [run(f"row {number}", [row]) for number, row in enumerate(rows)]
        _ = run("a row of zeros", [engine.example(1)])
        return _suspicions(manifest, alone, run.batched(rows, alone))
    texts = _encodings(tokenizer, manifest, on_step)
    alone = [run(f"a text of {text.length} tokens", [text]) for text in texts if text.length]
    spread = _check_ids(engine, tokenizer, manifest, texts[_SENTENCE], on_step)
    alone.append(run("token ids from all over the vocabulary", [spread]))
    batched = run.batched([*(text for text in texts if text.length), spread], alone)
    _run_longest(engine, tokenizer, manifest, clock, on_step, thorough=thorough)
    return _suspicions(manifest, alone, batched)


def tensor_rows(tensors: Sequence[TensorInput]) -> list[Row]:
    """Return rows of small numbers, of both signs if the type allows."""
    normal = np.random.default_rng(0).normal
    return [
        Row(tuple(normal(size=t.shape).astype(DATATYPES[t.datatype]) for t in tensors))
        for _ in range(_ROWS)
    ]


def sum_to_one(outputs: Logits, whole: float = 1.0) -> bool:
    """Return whether outputs for several labels are shares of a `whole`, not logits."""
    sums = np.abs(outputs.sum(axis=1) - whole) < _SUM_TOLERANCE * whole
    return bool(outputs.shape[1] > 1 and (outputs >= 0).all() and sums.all())


@dataclass(frozen=True)
class _Runs:
    """Runs batches, and names the one that fails."""

    engine: Engine
    on_step: Callable[[str], None]

    def __call__(self, what: str, batch: Sequence[Item]) -> Logits:
        with _step(what, self.on_step):
            return self.engine.run(batch)

    def batched(self, items: Sequence[Item], alone: Sequence[Logits]) -> float:
        """Return by how much the logits of a batch differ from those of its items alone."""
        engines = [self.engine, self.engine.unpacked()] if self.engine.packed else [self.engine]
        expected = np.concatenate(alone)
        return max(
            float(np.abs(_Runs(each, self.on_step)(what, items) - expected).max())
            for each, what in zip(engines, ("a batch", "a batch, one text a row"), strict=False)
        )


@contextmanager
def _step(what: str, on_step: Callable[[str], None]) -> Iterator[None]:
    """Announce a step, and turn whatever fails in it into a BundleError."""
    on_step(what)
    with failures(BundleError, what):
        yield


def _encodings(
    tokenizer: Tokenizer, manifest: Manifest, on_step: Callable[[str], None]
) -> list[Encoding]:
    """Encode each probe text alone, so that the message can name the one that fails."""
    encodings = []
    for text in _TEXTS:
        given: Text = (text, _TEXTS[_SENTENCE]) if manifest.pairs else text
        what = f"tokenizer.json on the text {text[:40]!r}"
        with _step(what, on_step):
            (encoding,) = tokenizer.encode([given])
        if isinstance(encoding, Unreadable):
            raise BundleError(f"{what}: {encoding.reason}")
        encodings.append(encoding)
    with _step("tokenizer.json on texts that its patterns may take long for", on_step):
        tokenizer.check_speed(pairs=manifest.pairs)
    if not encodings[_SENTENCE].length:
        raise BundleError(f"tokenizer.json finds no token in the text {_TEXTS[_SENTENCE]!r}")
    return encodings


def _check_ids(
    engine: Engine,
    tokenizer: Tokenizer,
    manifest: Manifest,
    sentence: Encoding,
    on_step: Callable[[str], None],
) -> Encoding:
    """Check that the embedding has a row for each id that a text, or its padding, can have.

    Return a text of ids from all over the vocabulary.
    """
    tokens = tokenizer.tokens(_TEXTS[_SENTENCE], special=True)
    special = {each.id for each in tokens if each.special}
    number, token = tokenizer.largest_token()
    largest, origin = max(
        (number, f"token {token!r} of tokenizer.json"),
        (max(sentence.ids), "special token of tokenizer.json"),
        (manifest.pad_token_id, "padding token of manifest.json"),
    )
    with _step(f"the {origin} has the id {largest}", on_step):
        engine.run_checked([_with_ids(sentence, [largest], special)])
    count = sentence.length
    spread = [number * step // count for step in range(count, 0, -1)]
    return _with_ids(sentence, spread, special)


def _with_ids(text: Encoding, ids: Sequence[int], special: Collection[int]) -> Encoding:
    """Return a text with these ids in place of its own, by turns.

    Special tokens keep their places and appear nowhere else: some graphs count them.
    """
    fill = cycle([each for each in ids if each not in special] or ids)
    new = [old if old in special else next(fill) for old in text.ids]
    return Encoding(new, text.length, text.types)


def _run_longest(
    engine: Engine,
    tokenizer: Tokenizer,
    manifest: Manifest,
    clock: Clock,
    on_step: Callable[[str], None],
    *,
    thorough: bool,
) -> None:
    """Run texts that grow up to `max_length` tokens, or to the last that is not costly."""
    longest = manifest.max_length
    words = " ".join([_WORDS] * (longest // len(_WORDS.split()) + 1))
    (whole,) = tokenizer.encode([(words, words) if manifest.pairs else words])
    lengths = [_FIRST_LENGTH]
    while lengths[-1] * _GROWTH < longest:
        lengths.append(lengths[-1] * _GROWTH)
    lengths = [each for each in lengths if each < longest] + [longest]
    seconds = 0.0
    for shorter, length in pairwise([1, *lengths]):
        # Attention is quadratic in the length, the rest linear.
        if not thorough and seconds * (length / shorter) ** 2 > _COSTLY_S:
            return
        text = whole if length == whole.length else engine.example(length)
        began_s = clock()
        with _step(f"a text of {length} tokens, max_length is {longest}", on_step):
            (engine.run_checked if length == longest else engine.run)([text])
        seconds = clock() - began_s


def _suspicions(manifest: Manifest, alone: Sequence[Logits], batch_difference: float) -> list[str]:
    found = []
    logits = np.concatenate(alone)
    if (logits == logits[0]).all():
        found.append(f"every probe has the same logits, {logits[0].tolist()}")
    elif "regression" not in manifest.problem_type and ((logits >= 0) & (logits <= 1)).all():
        if sum_to_one(logits):
            raise BundleError(
                "the outputs of every probe lie in [0, 1] and sum to 1, as probabilities do, but "
                "the manifest says that they are logits: export the graph without its softmax, or "
                "import it again with python -m models import, which recognises that"
            )
        found.append(
            "every output lies in [0, 1], as probabilities do: if the graph ends in a sigmoid, its "
            "answers are wrong unless the manifest says so (graph_output) or the graph is exported "
            "without it"
        )
    elif "regression" not in manifest.problem_type and sum_to_one(logits, _PERCENT):
        found.append(
            "the outputs of every probe sum to 100, as percentages do: if they are some, the "
            "scores are wrong: export the graph's logits"
        )
    flips = manifest.judged.batch_flips if manifest.judged else None
    is_on_its_card = flips is not None and flips.value > 0
    if batch_difference > manifest.logit_tolerance and not is_on_its_card:
        found.append(
            f"in a batch of mixed lengths, logits differ by up to {batch_difference:.1e} from "
            f"those of each text alone, more than logit_tolerance {manifest.logit_tolerance:g}: "
            "padding or the other texts change the answer"
        )
    return found
