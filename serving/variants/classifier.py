"""One variant: texts, or rows of tensors, to labels, in order."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial

from serving.background import in_time
from serving.batching.interface import Submits
from serving.batching.queue import Clock, Terms
from serving.bundles.bundle import Bundle, key
from serving.bundles.probabilities import activation, least_score
from serving.errors import DeadlineMissed, InvalidField, TextTooLong
from serving.inference.inputs import Item, Row, Side, Text, Truncate, chars, why_no_tokens
from serving.inference.tokenizer import Tokenizer, pieces
from serving.variants.answers import Answer, Classified

# About 0.2 ms of tokenization, which is less than a round trip to a thread costs.
_INLINE_CHARS = 1000
# About 5 ms of softmax.
_TURN_SCORES = 32_768
_KINDS = {
    str: "one text at a time",
    tuple: "pairs of texts",
    Row: "tensors, by the Open Inference Protocol",
}


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
        # One that may be slow on a short text never runs on the event loop.
        self._inline_chars = -1 if tokenizer and tokenizer.thread else _INLINE_CHARS
        self._reads: type = (
            Row if bundle.manifest.tensors else tuple if bundle.manifest.pairs else str
        )
        self._count_chars: Callable[..., int] = len if self._reads is str else chars
        side: Side = tokenizer.side if tokenizer else "right"
        self._sides: Mapping[Truncate, Side] = {
            True: side, False: side, "left": "left", "right": "right",
        }  # fmt: skip
        self._least_score = least_score(bundle.manifest)
        self._scores = activation(bundle.manifest)

    async def classify(
        self, inputs: Sequence[Text | Row], terms: Terms, *, truncate: Truncate
    ) -> Classified:
        """Answer all inputs or none.

        Raises InvalidField if an input is not of the kind that the model reads or has no tokens,
        TextTooLong if a text has too many and may not be truncated, and what Submits.submit raises.
        """
        for index, each in enumerate(inputs):
            if not isinstance(each, self._reads):
                raise self._other_kind(index, each)
        started_s = self._clock()
        if self._tokenizer is None:
            items: Sequence[Item] = inputs  # type: ignore[assignment]
        else:
            texts: Sequence[Text] = inputs  # type: ignore[assignment]
            if sum(map(self._count_chars, texts)) <= self._inline_chars:
                items = self._tokenizer.encode(texts, truncate)
            else:
                items = await self._encode_in_pieces(self._tokenizer, texts, terms, truncate)
        tokenize_s = self._clock() - started_s
        tokens = 0
        for index, item in enumerate(items):
            length = item.length
            tokens += length
            if not length or (item.full_length > length and not truncate):
                raise self._refusal(index, item)
        results = await self._batcher.submit(self.key, items, terms)
        manifest = self.manifest
        temperature = manifest.temperature
        side = self._sides[truncate]
        answers: list[Answer] = []
        start_tag_s = None
        each_turn = max(1, _TURN_SCORES // len(manifest.labels))
        for item, result in zip(items, results, strict=True):
            if len(answers) % each_turn == each_turn - 1 and len(answers) < len(items) - 1:
                await asyncio.sleep(0)
            answers.append(
                Answer(
                    self._scores(result.logits, temperature),
                    result.logits,
                    manifest.variant,
                    manifest.version,
                    temperature,
                    side if item.full_length > item.length else None,
                    result.queue_s,
                    result.engine_s,
                )
            )
            its_tag_s = result.start_tag_s
            if its_tag_s is not None and (start_tag_s is None or its_tag_s < start_tag_s):
                start_tag_s = its_tag_s
        return Classified(
            manifest.labels, self._least_score, manifest.variant, manifest.version,
            answers, tokens, started_s, tokenize_s, start_tag_s,
        )  # fmt: skip

    async def _encode_in_pieces(
        self, tokenizer: Tokenizer, texts: Sequence[Text], terms: Terms, truncate: Truncate
    ) -> list[Item]:
        """Tokenize in the thread, between the pieces of other requests.

        What a piece leaves is released while the GIL is held, which is another reason to keep the
        pieces small.
        """
        run = asyncio.get_running_loop().run_in_executor
        items: list[Item] = []
        for piece in pieces(texts):
            if tokenizer.thread is None:
                items += await run(self._tokenizer_threads, tokenizer.encode, piece, truncate)
                continue
            encode = partial(tokenizer.encode, piece, truncate)
            try:
                items += await in_time(tokenizer.thread, encode, terms.deadline_s - self._clock())
            except TimeoutError:
                raise self._missed() from None
        return items

    def _missed(self) -> DeadlineMissed:
        return DeadlineMissed(
            f"the tokenizer of {self.manifest.variant} was slow until the deadline: send fewer or "
            "shorter texts, or a longer deadline"
        )

    def _other_kind(self, index: int, given: Text | Row) -> InvalidField:
        wanted = _KINDS[self._reads]
        return InvalidField(
            f"{self.manifest.variant} reads {wanted}",
            field=f"texts[{index}]",
            limit=wanted,
            value=_KINDS[type(given)],
        )

    def _refusal(self, index: int, item: Item) -> InvalidField | TextTooLong:
        field = f"texts[{index}]"
        if not item.length:
            return InvalidField(
                f"{field} has no tokens: {why_no_tokens(item)}: send other text",
                field=field,
                limit=1,
                value=0,
            )
        return TextTooLong(
            f"{field} has {item.full_length} tokens, but {self.manifest.variant} "
            f"accepts {self.manifest.max_length}: shorten it or send truncate: true",
            field=field,
            limit=self.manifest.max_length,
            value=item.full_length,
        )
