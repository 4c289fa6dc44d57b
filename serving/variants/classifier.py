"""One variant: texts, or rows of tensors, to labels, in order."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from operator import itemgetter
from typing import cast

from serving.batching.interface import Submits
from serving.batching.queue import Clock, Terms
from serving.bundles.bundle import Bundle, key
from serving.bundles.probabilities import predicted_labels, probabilities
from serving.errors import InvalidField, TextTooLong
from serving.inference.inputs import Item, Row, Text, chars
from serving.inference.tokenizer import Tokenizer

# About 0.2 ms of tokenization, which is less than a round trip to a thread costs.
_INLINE_CHARS = 1000
_KINDS = {
    str: "one text at a time",
    tuple: "pairs of texts",
    Row: "tensors, by the Open Inference Protocol",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The probabilities of one text, in the order of the labels, with their variant and times.

    `logits` are the model's own, before `temperature` and softmax or sigmoid. `degraded` is set if
    a smaller variant than intended answered.
    """

    scores: list[float]
    logits: list[float]
    variant: str
    version: str
    temperature: float
    truncated: bool
    queue_s: float
    engine_s: float
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Labelled:
    """The labels that a model's scores belong to."""

    labels: list[str]
    multi_label: bool

    def labels_of(self, answer: Answer) -> list[str]:
        """Return the predicted labels: the likeliest, or with multi_label all of 0.5 or more."""
        return predicted_labels(self.labels, answer.scores, multi_label=self.multi_label)

    def ranked(self, scores: Sequence[float]) -> list[dict[str, str | float]]:
        """Return every label with its score, the highest first, in the form of most protocols."""
        pairs = sorted(zip(scores, self.labels, strict=True), key=itemgetter(0), reverse=True)
        return [{"label": label, "score": score} for score, label in pairs]


@dataclass(frozen=True, slots=True)
class Classified(Labelled):
    """One variant's answers to a request's texts, in order, and the measurements of that.

    `started_s` is when tokenization began, on the classifier's clock; `start_tag_s` the lowest of
    the texts' start tags, None if all were cached.
    """

    variant: str
    version: str
    answers: list[Answer]
    tokens: int
    started_s: float
    tokenize_s: float
    start_tag_s: float | None


class Classifier:
    """Tokenizes texts, submits them and names the labels, for one bundle."""

    def __init__(
        self,
        bundle: Bundle,
        tokenizer: Tokenizer | None,
        batcher: Submits,
        tokenizer_threads: Executor,
        clock: Clock,
    ) -> None:
        self.manifest = bundle.manifest
        self.key = key(bundle)
        self._tokenizer = tokenizer
        self._batcher = batcher
        self._tokenizer_threads = tokenizer_threads
        self._clock = clock
        self._reads: type = (
            Row if bundle.manifest.tensors else tuple if bundle.manifest.pairs else str
        )
        self._multi_label = bundle.manifest.problem_type == "multi_label"

    async def classify(
        self, inputs: Sequence[Text | Row], terms: Terms, *, truncate: bool
    ) -> Classified:
        """Answer all inputs or none.

        Raises InvalidField if an input is not of the kind that the model reads, TextTooLong if a
        text has too many tokens and may not be truncated, and what Submits.submit raises.
        """
        for index, each in enumerate(inputs):
            self._refuse_other_kind(index, each)
        started_s = self._clock()
        items = await self._items(inputs)
        tokenize_s = self._clock() - started_s
        if not truncate:
            self._refuse_truncated(items)
        results = await self._batcher.submit(self.key, items, terms)
        manifest = self.manifest
        start_tags_s = [each.start_tag_s for each in results if each.start_tag_s is not None]
        return Classified(
            labels=manifest.labels,
            multi_label=self._multi_label,
            variant=manifest.variant,
            version=manifest.version,
            answers=[
                Answer(
                    probabilities(manifest, result.logits),
                    result.logits,
                    manifest.variant,
                    manifest.version,
                    manifest.temperature,
                    item.truncated,
                    result.queue_s,
                    result.engine_s,
                )
                for item, result in zip(items, results, strict=True)
            ],
            tokens=sum(item.length for item in items),
            started_s=started_s,
            tokenize_s=tokenize_s,
            start_tag_s=min(start_tags_s, default=None),
        )

    async def _items(self, inputs: Sequence[Text | Row]) -> Sequence[Item]:
        if self._tokenizer is None:
            return cast("Sequence[Row]", inputs)
        texts = cast("Sequence[Text]", inputs)
        if sum(map(chars, texts)) <= _INLINE_CHARS:
            return self._tokenizer.encode(texts)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._tokenizer_threads, self._tokenizer.encode, texts)

    def _refuse_other_kind(self, index: int, given: Text | Row) -> None:
        if isinstance(given, self._reads):
            return
        wanted = _KINDS[self._reads]
        raise InvalidField(
            f"{self.manifest.variant} reads {wanted}",
            field=f"texts[{index}]",
            limit=wanted,
            value=_KINDS[type(given)],
        )

    def _refuse_truncated(self, items: Sequence[Item]) -> None:
        for index, item in enumerate(items):
            if item.truncated:
                raise TextTooLong(
                    f"texts[{index}] has {item.full_length} tokens, but {self.manifest.variant} "
                    f"accepts {self.manifest.max_length}: shorten it or send truncate: true",
                    field=f"texts[{index}]",
                    limit=self.manifest.max_length,
                    value=item.full_length,
                )
