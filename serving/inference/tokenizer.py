"""Encode texts with the bundle's tokenizer.json."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from weakref import finalize

import tokenizers

from serving.background import Threads
from serving.bundles.bundle import Bundle
from serving.bundles.normalization import EXAMPLES
from serving.errors import ENDING, BundleError, EngineFailed, failures, own_words
from serving.inference.inputs import Encoding, Side, Text, Unreadable, chars, grouped
from serving.inference.tokenizer_speed import check_speed, may_be_slow
from serving.inference.windows import WholeText
from serving.inference.word_lookup import WordLookup

# To write a panic's backtrace takes many times as long as the text that the library fails on.
os.environ["RUST_BACKTRACE"] = "0"

_NONE = Encoding([], 0)
_PIECE_CHARS = 16_384
# Texts have 3 to 6 characters a token in English; those with more are encoded twice.
_CHARS_A_TOKEN = 8
TextOrPair = TypeVar("TextOrPair", bound=Text)


def open_tokenizer(bundle: Bundle) -> "Tokenizer | None":
    """Open a bundle's tokenizer; None for a model of tensors. Raises BundleError."""
    manifest = bundle.manifest
    if manifest.tensors:
        return None
    tokenizer = Tokenizer(bundle.tokenizer_path, manifest.max_length, pairs=manifest.pairs)
    for kind in manifest.normalize:
        text, same = EXAMPLES[kind]
        raw, plain = tokenizer.encode([text, same])
        if raw.ids != plain.ids:
            raise BundleError(
                f"{bundle.tokenizer_path} does not normalise {text!r} to {same!r}, as normalize "
                f"{kind!r} of manifest.json says: publish the bundle again"
            )
    return tokenizer


def pieces(texts: Sequence[TextOrPair]) -> Iterator[list[TextOrPair]]:
    """Split texts into pieces that take some milliseconds to tokenize, a long text by itself."""
    return grouped(texts, chars, _PIECE_CHARS)


class Token(NamedTuple):
    """One token: its id, and its span of characters in the text."""

    id: int
    text: str
    special: bool
    start: int
    stop: int


class Tokenizer:
    """A tokenizer.json with the model's length limit. Thread-safe.

    The file's `truncation` says which end of a text is cut, and of which text of a pair. It
    releases the GIL, except for words that are looked up.
    """

    def __init__(self, path: Path, max_length: int, *, pairs: bool = False) -> None:
        """Raise BundleError if the file is no tokenizer or `max_length` leaves no room for text."""
        with failures(BundleError, f"{path} is not a tokenizers file"):
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        declared = self._tokenizer.truncation or {}
        self.side: Side = declared.get("direction", "right")
        # Of a single text, any strategy can only cut that.
        strategy = declared.get("strategy", "longest_first") if pairs else "longest_first"
        self._whole = tokenizers.Tokenizer.from_str(self._tokenizer.to_str())
        self._whole.no_truncation()
        self._tokenizer.enable_truncation(max_length, strategy=strategy, direction=self.side)
        self._max_length = max_length
        self._special_tokens = self._tokenizer.num_special_tokens_to_add(False)
        special_tokens = self._tokenizer.num_special_tokens_to_add(pairs)
        if max_length <= special_tokens + pairs:
            raise BundleError(f"{path}: max_length {max_length} leaves no room for text")
        parsed = json.loads(self._whole.to_str())
        self._typed = _typed(parsed["post_processor"])
        # The fast one forgets the types of a pair where no post-processor sets them.
        slow = pairs and parsed["post_processor"] is None
        self._encode_batch: Callable[[list[Text]], list[tokenizers.Encoding]] = (
            self._tokenizer.encode_batch if slow else self._tokenizer.encode_batch_fast
        )
        self.thread: Executor | None = self._started_thread() if may_be_slow(parsed) else None
        """Encodes its texts where it may take long for a short one, as it may for no others."""
        # Words that are looked up hold the GIL.
        self._lookup = None if self.thread else self._word_lookup(parsed)
        # Elsewhere, the tokens of a text's beginning may not be the first of its own.
        cuttable = self.side == "right" and self._lookup and self._lookup.splits_at_spaces
        self._most_chars = _CHARS_A_TOKEN * max_length if cuttable else sys.maxsize
        self._other_side: Side = "right" if self.side == "left" else "left"
        # It only cuts and adds special tokens, for which it needs no vocabulary.
        self._cutter = tokenizers.Tokenizer(tokenizers.models.WordLevel())
        if self._whole.post_processor is not None:
            self._cutter.post_processor = self._whole.post_processor
        self._cutter.enable_truncation(max_length, strategy=strategy, direction=self._other_side)

    def encode(
        self, texts: Sequence[Text], side: Side | None = None, *, cuts: bool = False
    ) -> list[Encoding]:
        """Encode texts in order, cut to the model's length at `side`, by default the tokenizer's.

        A text on which the tokenizer fails is an Unreadable, of length 0. With `cuts`, what is cut
        off may be left unread: then the full length of a truncated text is too small.
        """
        if (
            cuts
            and side != "left"
            and sum(map(len, texts)) > self._most_chars  # costs less than max()
            and max(map(len, texts)) > self._most_chars
        ):
            return self._encode_beginnings(texts)
        if self._lookup is None:
            encodings = self._encode(texts)
        else:
            try:
                encodings, others = self._lookup.encode(texts)
            except ENDING:
                raise
            except BaseException:  # noqa: BLE001  below, each text is encoded or fails alone
                encodings = [_NONE] * len(texts)
                others = list(range(len(texts)))
            if others:
                encoded = self._encode([texts[index] for index in others])
                for index, encoding in zip(others, encoded, strict=True):
                    encodings[index] = encoding
        if side == self._other_side:
            for index, encoding in enumerate(encodings):
                if encoding.truncated:
                    encodings[index] = self._cut(texts[index], encoding.full_length)
        return encodings

    def _encode_beginnings(self, texts: Sequence[Text]) -> list[Encoding]:
        """Encode the beginnings of long texts, or the whole where a beginning is not cut."""
        begun = [self._beginning(text) for text in texts]
        encodings = self.encode(begun)
        for index, text in enumerate(texts):
            if begun[index] is not text and not encodings[index].truncated:
                (encodings[index],) = self.encode([text])
        return encodings

    def _beginning(self, text: Text) -> Text:
        """Return a long text up to a space, where its first tokens end with a word's."""
        if isinstance(text, str) and len(text) > self._most_chars:
            end = text.rfind(" ", 1, self._most_chars)
            return text[:end] if end > 0 else text
        return text

    def count_tokens(self, texts: Sequence[str], *, special: bool) -> int:
        """Count what `tokens` returns for these texts."""
        with failures(EngineFailed, "the tokenizer failed"):
            encoded = self._whole.encode_batch_fast(list(texts), add_special_tokens=special)
        return sum(map(len, encoded))

    def tokens(self, text: str, *, special: bool) -> list[Token]:
        """Return the tokens of a whole text, with special tokens if `special`."""
        with failures(EngineFailed, "the tokenizer failed"):
            # Unlike encode(), it releases the GIL.
            (whole,) = self._whole.encode_batch([text], add_special_tokens=special)
        return [
            Token(number, token, bool(is_special), start, stop)
            for number, token, is_special, (start, stop) in zip(
                whole.ids, whole.tokens, whole.special_tokens_mask, whole.offsets, strict=True
            )
        ]

    def whole(self, text: Text) -> WholeText:
        """Return the tokens of a whole text, from which windows are cut."""
        with failures(EngineFailed, "the tokenizer failed"):
            (raw,) = self._whole.encode_batch([text])
        ids, own = raw.ids, 0 if isinstance(text, str) else 1
        sequences = raw.sequence_ids
        first = stop = len(ids)
        if own in sequences:
            first, stop = sequences.index(own), stop - sequences[::-1].index(own)
        typed = self._typed or own
        return WholeText(ids, raw.type_ids if typed else None, first, stop, raw.offsets[first:stop])

    def check_speed(self, *, pairs: bool) -> None:
        """Raise BundleError if short texts take it too long."""
        if self.thread is not None:
            check_speed(json.loads(self._whole.to_str()), self.encode, pairs=pairs)

    def largest_token(self) -> tuple[int, str]:
        """Return the largest id of the vocabulary, added tokens included, and its token."""
        vocabulary = self._whole.get_vocab(with_added_tokens=True)
        token = max(vocabulary, key=vocabulary.__getitem__)
        return vocabulary[token], token

    def _started_thread(self) -> Executor:
        thread = Threads(1, "slow-tokenizer")
        thread.start()
        finalize(self, thread.shutdown).atexit = False
        return thread

    def _word_lookup(self, parsed: dict[str, Any]) -> WordLookup | None:
        model = self._whole.model
        try:
            return WordLookup(
                parsed,
                lambda word: [piece.id for piece in model.tokenize(word)],
                max_length=self._max_length,
                side=self.side,
            )
        except ValueError:
            return None

    def _encode(self, texts: Sequence[Text]) -> list[Encoding]:
        try:
            encoded = self._encode_batch(list(texts))
        except ENDING:
            raise
        except BaseException as error:  # noqa: BLE001  its panics are no Exception
            if len(texts) > 1:
                return [self._encode([text])[0] for text in texts]
            return [Unreadable(own_words(error))]
        limit, plain = self._max_length, not self._typed
        encodings = []
        for text, raw in zip(texts, encoded, strict=True):
            ids = raw.ids
            if plain and len(ids) < limit and isinstance(text, str):
                encodings.append(Encoding(ids, len(ids)))
            else:
                encodings.append(self._encoding(text, ids, raw))
        return encodings

    def _encoding(self, text: Text, ids: list[int], raw: tokenizers.Encoding) -> Encoding:
        """Return the encoding of a text with types, or that may have been truncated."""
        if not raw.overflowing:
            full_length = len(ids)
        elif isinstance(text, str):
            rest = sum(len(each) - self._special_tokens for each in raw.overflowing)
            full_length = len(ids) + rest
        else:
            # Unlike encode(), it releases the GIL.
            full_length = len(self._whole.encode_batch_fast([text])[0].ids)
        typed = self._typed or not isinstance(text, str)
        return Encoding(ids, full_length, raw.type_ids if typed else None)

    def _cut(self, text: Text, full_length: int) -> Encoding:
        """Return the encoding of a text that is too long, cut at the other side."""
        # After an empty first text, the second of a pair has its own type.
        parts: list[Text] = [text] if isinstance(text, str) else [text[0], ("", text[1])]
        try:
            first, *second = self._whole.encode_batch(parts, add_special_tokens=False)
            raw = self._cutter.post_process(first, second[0] if second else None)
        except ENDING:
            raise
        except BaseException as error:  # noqa: BLE001  its panics are no Exception
            return Unreadable(own_words(error))
        typed = self._typed or not isinstance(text, str)
        return Encoding(raw.ids, full_length, raw.type_ids if typed else None)


def _typed(post_processor: dict[str, Any] | None) -> bool:
    """Return whether a single text has tokens of another type than 0, as XLNet's [CLS]."""
    match post_processor:
        case {"type": "TemplateProcessing", "single": pieces}:
            return any(part["type_id"] for piece in pieces for part in piece.values())
        case {"type": "Sequence", "processors": processors}:
            return any(map(_typed, processors))
    return False
