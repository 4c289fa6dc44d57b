"""Classify many texts with one variant: all slots busy, little padding, one answer per text."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from serving.bundles.bundle import Manifest
from serving.bundles.probabilities import activation
from serving.errors import EngineFailed
from serving.inference.engine import Engine, answers_of
from serving.inference.inputs import Encoding, Text, chars, why_no_tokens
from serving.inference.tokenizer import Tokenizer

_TOKENIZED_AT_ONCE_TEXTS = 256


@dataclass(frozen=True, slots=True)
class LengthLimits:
    """The length limits, as in the server: characters, and tokens unless `truncate`."""

    max_text_chars: int
    truncate: bool


@dataclass(frozen=True, slots=True)
class BulkAnswer:
    """The scores of one text, in label order."""

    scores: list[float]
    truncated: bool


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
        fitting = []
        for index, encoding in zip(taken, encodings, strict=True):
            if not encoding.length:
                found[index] = f"the text has no tokens: {why_no_tokens(encoding)}"
            elif encoding.truncated and not self._limits.truncate:
                found[index] = (
                    f"the text has {encoding.full_length} tokens and {self._manifest.variant} "
                    f"takes {self._manifest.max_length}: shorten it or use --truncate"
                )
            else:
                fitting.append((index, encoding))
        on_texts(len(texts) - len(fitting))
        logits = self._logits([encoding for _, encoding in fitting], on_texts)
        for (index, encoding), row in zip(fitting, logits, strict=True):
            found[index] = (
                row
                if isinstance(row, str)
                else BulkAnswer(self._scores(row, self._manifest.temperature), encoding.truncated)
            )
        return found

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
        return [each for group in self._slots.map(self._tokenizer.encode, groups) for each in group]

    def _logits(
        self, encodings: Sequence[Encoding], on_texts: Callable[[int], None]
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
            on_texts(len(batch))
        failures = [row for row in found if isinstance(row, str)]
        if len(failures) == len(found) > 1:
            raise EngineFailed(f"not one text of many was answered: {failures[0]}")
        return found
