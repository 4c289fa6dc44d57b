"""Encode texts with the bundle's tokenizer.json."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import tokenizers

from serving.bundles.bundle import Bundle
from serving.errors import ENDING, BundleError, EngineFailed, failures, own_words
from serving.inference.inputs import Encoding, Text
from serving.inference.word_lookup import WordLookup


def open_tokenizer(bundle: Bundle) -> "Tokenizer | None":
    """Open a bundle's tokenizer; None for a model of tensors. Raises BundleError."""
    manifest = bundle.manifest
    if manifest.tensors:
        return None
    return Tokenizer(bundle.tokenizer_path, manifest.max_length, pairs=manifest.pairs)


class Token(NamedTuple):
    """One token: its id, and its span of characters in the text."""

    id: int
    text: str
    special: bool
    start: int
    stop: int


class Tokenizer:
    """A tokenizer.json with the model's length limit. Thread-safe.

    It releases the GIL, except for words that are looked up.
    """

    def __init__(self, path: Path, max_length: int, *, pairs: bool = False) -> None:
        """Raise BundleError if the file is no tokenizer or `max_length` leaves no room for text."""
        with failures(BundleError, f"{path} is not a tokenizers file"):
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._whole = tokenizers.Tokenizer.from_str(self._tokenizer.to_str())
        self._whole.no_truncation()
        self._tokenizer.enable_truncation(max_length)
        self._max_length = max_length
        self._special_tokens = self._tokenizer.num_special_tokens_to_add(False)
        self._special_tokens_of_pair = self._tokenizer.num_special_tokens_to_add(True)
        special_tokens = self._special_tokens_of_pair if pairs else self._special_tokens
        if max_length <= special_tokens + pairs:
            raise BundleError(f"{path}: max_length {max_length} leaves no room for text")
        self._lookup = self._word_lookup()

    def encode(self, texts: Sequence[Text]) -> list[Encoding]:
        """Encode texts in order; the longer text of a pair is truncated first.

        Raises EngineFailed, in the tokenizer's words, if it fails on a text.
        """
        try:
            if self._lookup is None:
                return self._encode(texts)
            encodings, others = self._lookup.encode(texts)
            if others:
                encoded = self._encode([texts[index] for index in others])
                for index, encoding in zip(others, encoded, strict=True):
                    encodings[index] = encoding
        except ENDING:
            raise
        except BaseException as error:  # its panics are no Exception
            raise EngineFailed(f"the tokenizer failed: {own_words(error)}") from error
        return encodings

    def tokens(self, text: str, *, special: bool) -> list[Token]:
        """Return the tokens of a whole text, with special tokens if `special`."""
        with failures(EngineFailed, "the tokenizer failed"):
            whole = self._whole.encode(text, add_special_tokens=special)
        return [
            Token(number, token, bool(is_special), start, stop)
            for number, token, is_special, (start, stop) in zip(
                whole.ids, whole.tokens, whole.special_tokens_mask, whole.offsets, strict=True
            )
        ]

    def largest_token(self) -> tuple[int, str]:
        """Return the largest id of the vocabulary, added tokens included, and its token."""
        vocabulary = self._whole.get_vocab(with_added_tokens=True)
        token = max(vocabulary, key=vocabulary.__getitem__)
        return vocabulary[token], token

    def _word_lookup(self) -> WordLookup | None:
        model = self._whole.model
        try:
            return WordLookup(
                json.loads(self._whole.to_str()),
                lambda word: [piece.id for piece in model.tokenize(word)],
                max_length=self._max_length,
            )
        except ValueError:
            return None

    def _encode(self, texts: Sequence[Text]) -> list[Encoding]:
        limit = self._max_length
        encodings = []
        for text, raw in zip(texts, self._tokenizer.encode_batch_fast(list(texts)), strict=True):
            ids = raw.ids
            if len(ids) < limit and isinstance(text, str):
                encodings.append(Encoding(ids, len(ids)))
            else:
                encodings.append(self._encoding(text, ids, raw))
        return encodings

    def _encoding(self, text: Text, ids: list[int], raw: tokenizers.Encoding) -> Encoding:
        """Return the encoding of a pair, or of a text that may have been truncated."""
        if isinstance(text, str):
            return Encoding(ids, len(ids) + self._rest(raw))
        return Encoding(ids, self._length_of_pair(text, raw), raw.type_ids)

    def _rest(self, raw: tokenizers.Encoding) -> int:
        """Return the number of truncated tokens of a text."""
        return sum(len(rest.ids) - self._special_tokens for rest in raw.overflowing)

    def _length_of_pair(self, pair: tuple[str, str], raw: tokenizers.Encoding) -> int:
        if not raw.overflowing:
            return len(raw.ids)
        return self._special_tokens_of_pair + sum(
            len(each.ids) - self._special_tokens + self._rest(each)
            for each in self._tokenizer.encode_batch_fast(list(pair))
        )
