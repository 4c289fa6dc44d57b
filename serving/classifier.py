"""One variant: texts to labels, in order.

It does not know which variant a request should take (family.py) or how batches are formed.
"""

import asyncio
import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from serving.batcher import Answered, Clock
from serving.bundle import Bundle
from serving.errors import TextTooLong
from serving.scheduler import VariantKey
from serving.tokenizer import Encoding, Tokenizer

# About 0.2 ms of tokenization: less than handing it to a thread and back costs.
_INLINE_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Answer:
    """The probabilities of one text, in the order of the labels, and what they took."""

    scores: list[float]
    truncated: bool
    queue_s: float
    engine_s: float


@dataclass(frozen=True, slots=True)
class Classified:
    """The answers for one request's texts, in order, with what is to be measured of them."""

    variant: str
    version: str
    labels: list[str]
    answers: list[Answer]
    tokens: int
    tokenize_s: float


class Submits(Protocol):
    """What a Classifier needs of the engines."""

    async def submit(
        self, variant: VariantKey, encodings: Sequence[Encoding], deadline_s: float
    ) -> list[Answered]:
        """See Batcher.submit."""


class Classifier:
    """A bundle's tokenizer, its place in the batcher and its labels."""

    def __init__(
        self,
        bundle: Bundle,
        tokenizer: Tokenizer,
        batcher: Submits,
        tokenizer_threads: Executor,
        clock: Clock,
    ) -> None:
        self.manifest = bundle.manifest
        self._key = (bundle.manifest.family, bundle.manifest.variant)
        self._tokenizer = tokenizer
        self._batcher = batcher
        self._tokenizer_threads = tokenizer_threads
        self._clock = clock
        self._temperature = bundle.manifest.temperature
        multi_label = bundle.manifest.problem_type == "multi_label"
        self._probabilities = sigmoid if multi_label else softmax

    async def classify(
        self, texts: Sequence[str], *, truncate: bool, deadline_s: float
    ) -> Classified:
        """Answer all texts or none; `deadline_s` is on the classifier's clock.

        Raises TextTooLong when a text has too many tokens and `truncate` is false, and what
        Batcher.submit raises.
        """
        started_s = self._clock()
        loop = asyncio.get_running_loop()
        if sum(map(len, texts)) <= _INLINE_CHARS:
            encodings = self._tokenizer.encode(texts)
        else:
            encodings = await loop.run_in_executor(
                self._tokenizer_threads, self._tokenizer.encode, texts
            )
        tokenize_s = self._clock() - started_s
        if not truncate:
            self._refuse_truncated(encodings)
        answered = await self._batcher.submit(self._key, encodings, deadline_s)
        return Classified(
            variant=self.manifest.variant,
            version=self.manifest.version,
            labels=self.manifest.labels,
            answers=[
                Answer(
                    self._probabilities(answer.logits, self._temperature),
                    encoding.truncated,
                    answer.queue_s,
                    answer.engine_s,
                )
                for encoding, answer in zip(encodings, answered, strict=True)
            ],
            tokens=sum(encoding.length for encoding in encodings),
            tokenize_s=tokenize_s,
        )

    def _refuse_truncated(self, encodings: Sequence[Encoding]) -> None:
        for index, encoding in enumerate(encodings):
            if encoding.truncated:
                raise TextTooLong(
                    f"texts[{index}] has {encoding.full_length} tokens and {self.manifest.variant} "
                    f"takes {self.manifest.max_length}: shorten it or send truncate: true",
                    field=f"texts[{index}]",
                    limit=self.manifest.max_length,
                    value=encoding.full_length,
                )


def softmax(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Probabilities that sum to 1, from one text's finite logits (temperature: Guo et al. 2017)."""
    largest = max(logits)
    exponentials = [math.exp((logit - largest) / temperature) for logit in logits]
    total = sum(exponentials)
    return [exponential / total for exponential in exponentials]


def sigmoid(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Independent probabilities, from one text's finite logits."""
    return [0.5 * (1.0 + math.tanh(0.5 * logit / temperature)) for logit in logits]
