"""One variant: texts, or rows of tensors, to labels, in order."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from serving.batching.interface import Submits
from serving.batching.queue import Clock, Terms
from serving.bundles.bundle import Bundle, key
from serving.bundles.probabilities import activation, least_score
from serving.errors import InvalidField, TextTooLong
from serving.inference.inputs import Handling, Item, Row, Side, Text, chars, why_no_tokens
from serving.inference.tokenizer import Tokenizer, pieces
from serving.inference.windows import Windowing
from serving.large_work import LargeWork
from serving.variants.answers import Answer, Classified
from serving.variants.windowed import Windowed

# About 0.2 ms of tokenization, which is less than a round trip to a thread costs.
_INLINE_CHARS = 1000
# About 5 ms of softmax.
_TURN_SCORES = 32_768
_TRUNCATES: Mapping[Handling, Side | None] = {"left": "left", "right": "right", "truncate": None}
_Result = TypeVar("_Result")
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
        large_work: LargeWork,
        clock: Clock,
        *,
        windowing: Windowing,
    ) -> None:
        self.manifest = bundle.manifest
        self.key = key(bundle)
        self._tokenizer = tokenizer
        self._batcher = batcher
        self._large_work = large_work
        self._clock = clock
        # One that may be slow on a short text never runs on the event loop.
        self._inline_chars = -1 if tokenizer and tokenizer.thread else _INLINE_CHARS
        self._reads: type = (
            Row if bundle.manifest.tensors else tuple if bundle.manifest.pairs else str
        )
        self._count_chars: Callable[..., int] = len if self._reads is str else chars
        self._side: Side = tokenizer.side if tokenizer else "right"
        self._windowing = windowing
        self._least_score = least_score(bundle.manifest)
        self._scores = activation(bundle.manifest)
        manifest = bundle.manifest  # where each look at a field costs more than at an attribute
        self._labels, self._temperature = manifest.labels, manifest.temperature
        self._variant, self._version = manifest.variant, manifest.version
        self._each_turn = max(1, _TURN_SCORES // len(manifest.labels))

    async def classify(
        self, inputs: Sequence[Text | Row], terms: Terms, *, long: Handling
    ) -> Classified:
        """Answer all inputs or none.

        Raises InvalidField if an input is not of the kind that the model reads or has no tokens,
        TextTooLong if a text has too many tokens or windows, TooManyTexts if all windows are too
        many together, and what Submits.submit raises.
        """
        if set(map(type, inputs)) != {self._reads}:
            raise self._other_kind(inputs)
        started_s = self._clock()
        truncates, side = long in _TRUNCATES, _TRUNCATES.get(long)
        if self._tokenizer is None:
            items: Sequence[Item] = inputs  # type: ignore[assignment]
        else:
            texts: Sequence[Text] = inputs  # type: ignore[assignment]
            if sum(map(self._count_chars, texts)) <= self._inline_chars:
                items = self._tokenizer.encode(texts, side, cuts=truncates)
            else:
                items = await self._encode_in_pieces(self._tokenizer, texts, terms, long)
        tokens = 0
        unfit: list[int] = []
        for index, item in enumerate(items):
            length = item.length
            tokens += length
            if not length or (item.full_length > length and not truncates):
                unfit.append(index)
        run, windowed = items, None
        if unfit:
            windowed = await self._windowed(inputs, items, unfit, terms, refuse=long == "refuse")
            run = windowed.items(items, terms)
            tokens = sum(item.length for item in run)
        tokenize_s = self._clock() - started_s
        results = await self._batcher.submit(self.key, run, terms)
        results = await windowed.joined(items, results) if windowed else results
        variant, version, temperature = self._variant, self._version, self._temperature
        side = side or self._side
        answers: list[Answer] = []
        start_tag_s = None
        each_turn = self._each_turn
        for item, result in zip(items, results, strict=True):
            if len(answers) % each_turn == each_turn - 1 and len(answers) < len(items) - 1:
                await asyncio.sleep(0)
            whole = item.full_length <= item.length
            answers.append(
                Answer(
                    self._scores(result.logits, temperature), result.logits,
                    variant, version, temperature, None if whole else side,
                    result.queue_s, result.engine_s, whole,
                )
            )  # fmt: skip
            its_tag_s = result.start_tag_s
            if its_tag_s is not None and (start_tag_s is None or its_tag_s < start_tag_s):
                start_tag_s = its_tag_s
        classified = Classified(
            self._labels, self._least_score, variant, version,
            answers, tokens, started_s, tokenize_s, start_tag_s,
        )  # fmt: skip
        return windowed.noted(classified) if windowed else classified

    async def _encode_in_pieces(
        self, tokenizer: Tokenizer, texts: Sequence[Text], terms: Terms, long: Handling
    ) -> list[Item]:
        """Tokenize between the pieces of other requests.

        What a piece leaves is released while the GIL is held, which is another reason to keep the
        pieces small. Where long texts are refused, what follows the first is not tokenized.
        """
        side, cuts = _TRUNCATES.get(long), long in _TRUNCATES
        items: list[Item] = []
        for piece in pieces(texts):
            work = partial(tokenizer.encode, piece, side, cuts=cuts)
            for item in await self._tokenized(work, terms):
                if long == "refuse" and (not item.length or item.truncated):
                    raise self._refusal(len(items), item)
                items.append(item)
        return items

    async def _windowed(
        self,
        inputs: Sequence[Text | Row],
        items: Sequence[Item],
        places: Sequence[int],
        terms: Terms,
        *,
        refuse: bool,
    ) -> Windowed:
        """Cut the texts at these places into windows. Raises the error of one that must not be."""
        windowed = Windowed(self.manifest, self._windowing)
        for index in places:
            text = inputs[index]
            if refuse or not items[index].length or not self._tokenizer or isinstance(text, Row):
                raise self._refusal(index, items[index])
            whole = await self._tokenized(partial(self._tokenizer.whole, text), terms)
            windowed.add(index, whole)
        return windowed

    async def _tokenized(self, work: Callable[[], _Result], terms: Terms) -> _Result:
        """Do some of a request's tokenization in a thread, unless its deadline comes first."""
        thread = self._tokenizer.thread if self._tokenizer else None
        what = f"tokenizing for {self._variant}"
        return await self._large_work.do(work, terms.deadline_s, thread=thread, what=what)

    def _other_kind(self, inputs: Sequence[Text | Row]) -> InvalidField:
        wanted = _KINDS[self._reads]
        index = [type(each) is self._reads for each in inputs].index(False)
        return InvalidField(
            f"{self.manifest.variant} reads {wanted}",
            field=f"texts[{index}]",
            limit=wanted,
            value=_KINDS[type(inputs[index])],
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
            f"accepts {self.manifest.max_length}: shorten it, or have it truncated or read in "
            "windows: by a field of the request where its protocol has one, or by long in the "
            "family's windows.json",
            field=field,
            limit=self.manifest.max_length,
            value=item.full_length,
        )
