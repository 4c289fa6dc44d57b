"""Classify many texts with one variant: all slots busy, little padding, one answer per text."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from serving.bundles.bundle import Manifest
from serving.bundles.probabilities import activation
from serving.errors import EngineFailed, TextTooLong
from serving.inference.engine import Engine, answers_of
from serving.inference.inputs import Encoding, Text, chars, why_no_tokens
from serving.inference.tokenizer import Tokenizer
from serving.inference.windows import Cut, Windowing, joined, windows_of

_TOKENIZED_AT_ONCE_TEXTS = 256


@dataclass(frozen=True, slots=True)
class LengthLimits:
    """The length limits, as in the server: characters, and tokens.

    With too many tokens a text is cut if `truncate`, or else answered in windows, or else refused.
    """

    max_text_chars: int
    truncate: bool
    windowing: Windowing | None = None


@dataclass(frozen=True, slots=True)
class BulkAnswer:
    """The scores of one text, in label order; `windows` is how many it was cut into.

    `spans` then holds for each label the characters of the window where it scores highest.
    """

    scores: list[float]
    truncated: bool
    windows: int = 0
    spans: Sequence[tuple[int, int]] = ()


def batches_of(lengths: Sequence[int], budget_tokens: int, *, packed: bool) -> list[list[int]]:
    """Group the indices of texts of similar length into batches, the longest first. Pure.

    A batch of several texts has at most `budget_tokens` tokens, padding included unless texts share
    rows (packing.py). The shortest come last, so that the slots end together.
    """
    batches: list[list[int]] = []
    tokens = budget_tokens
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        # The first text of a batch is its longest.
        more = lengths[batches[-1][0]] if batches and not packed else lengths[index]
        if tokens + more > budget_tokens:
            batches.append([])
            tokens, more = 0, lengths[index]
        batches[-1].append(index)
        tokens += more
    return batches


class Bulk:
    """Classifies texts with a bundle's tokenizer and engine, on the threads of all slots."""

    def __init__(
        self,
        manifest: Manifest,
        tokenizer: Tokenizer,
        engine: Engine,
        slots: ThreadPoolExecutor,
        *,
        budget_tokens: int,
        limits: LengthLimits,
    ) -> None:
        """`slots` has as many threads as the engine has slots."""
        self._manifest = manifest
        self._scores = activation(manifest)
        self._tokenizer = tokenizer
        self._engine = engine
        self._slots = slots
        self._budget_tokens = budget_tokens
        self._limits = limits

    def answers(
        self, texts: Sequence[Text | None], on_texts: Callable[[int], None]
    ) -> list[BulkAnswer | str]:
        """Return each text's answer in order, or why it failed; `on_texts` reports progress.

        Raises EngineFailed if the engine ran several texts and answered none of them.
        """
        found: list[BulkAnswer | str] = [self._refused(text) for text in texts]
        taken = [index for index, refused in enumerate(found) if not refused]
        encodings = self._encode([texts[index] or "" for index in taken])
        fitting: list[tuple[int, Encoding, Cut]] = []
        for index, encoding in zip(taken, encodings, strict=True):
            outcome = self._cut(texts[index] or "", encoding)
            if isinstance(outcome, str):
                found[index] = outcome
            else:
                fitting.append((index, encoding, outcome))
        on_texts(len(texts) - len(fitting))
        run = [window for _, _, cut in fitting for window in cut.windows]
        # A text counts with its last window.
        texts_of = [n == 1 for _, _, cut in fitting for n in range(len(cut.windows), 0, -1)]
        rows = iter(
            self._logits(run, lambda batch: on_texts(sum(texts_of[each] for each in batch)))
        )
        for index, encoding, cut in fitting:
            found[index] = self._answer(encoding, cut, [next(rows) for _ in cut.windows])
        return found

    def _cut(self, text: Text, encoding: Encoding) -> Cut | str:
        """Return what runs for a text: itself, or its windows; or why nothing does."""
        limits, manifest = self._limits, self._manifest
        if not encoding.length:
            return f"the text has no tokens: {why_no_tokens(encoding)}"
        if not encoding.truncated or limits.truncate:
            return Cut([encoding], [])
        if limits.windowing is None:
            return (
                f"the text has {encoding.full_length} tokens and {manifest.variant} "
                f"takes {manifest.max_length}: shorten it, or use --long truncate or windows"
            )
        try:
            return windows_of(self._tokenizer.whole(text), manifest, limits.windowing)
        except TextTooLong as error:
            return error.detail

    def _answer(
        self, encoding: Encoding, cut: Cut, rows: Sequence[list[float] | str]
    ) -> BulkAnswer | str:
        logits: list[list[float]] = []
        for row in rows:
            if isinstance(row, str):
                return row
            logits.append(row)
        temperature, windowing = self._manifest.temperature, self._limits.windowing
        if not cut.spans or windowing is None:
            return BulkAnswer(self._scores(logits[0], temperature), encoding.truncated)
        all_of = joined(logits, self._manifest, windowing)
        spans = [cut.spans[window] for window in all_of.deciding]
        return BulkAnswer(self._scores(all_of.logits, temperature), False, len(rows), spans)

    def _refused(self, text: Text | None) -> str:
        """Return the reason to refuse a text, or None."""
        if not text or "" in (text if isinstance(text, tuple) else (text,)):
            return "there is no text" if text is None else "the text is empty"
        if chars(text) > self._limits.max_text_chars:
            return (
                f"the text has {chars(text)} characters and SIZEWISE_MAX_TEXT_CHARS allows "
                f"{self._limits.max_text_chars}: shorten it or allow more"
            )
        return ""

    def _encode(self, texts: Sequence[Text]) -> list[Encoding]:
        starts = range(0, len(texts), _TOKENIZED_AT_ONCE_TEXTS)
        groups = [texts[at : at + _TOKENIZED_AT_ONCE_TEXTS] for at in starts]
        encode = partial(self._tokenizer.encode, cuts=self._limits.truncate)
        return [each for group in self._slots.map(encode, groups) for each in group]

    def _logits(
        self, encodings: Sequence[Encoding], on_batch: Callable[[Sequence[int]], None]
    ) -> list[list[float] | str]:
        lengths = [encoding.length for encoding in encodings]
        batches = batches_of(lengths, self._budget_tokens, packed=self._engine.packed)
        found: list[list[float] | str] = [""] * len(encodings)
        items = [[encodings[index] for index in batch] for batch in batches]
        for batch, outcome in zip(
            batches, self._slots.map(partial(answers_of, self._engine), items), strict=True
        ):
            for index, row in zip(batch, outcome, strict=True):
                found[index] = row.detail if isinstance(row, EngineFailed) else row
            on_batch(batch)
        failures = [row for row in found if isinstance(row, str)]
        if len(failures) == len(found) > 1:
            raise EngineFailed(f"not one text of many was answered: {failures[0]}")
        return found
