"""Encode ASCII texts as a BERT tokenizer would, at a fraction of its cost.

A BERT tokenizer lowercases, splits at spaces and around punctuation, and then turns each word into
token ids by itself. So what stands between two spaces always has the same ids, and most of that has
been seen before. The tokenizer's own model encodes new words, so that only the split is repeated
here.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from serving.bundles.normalization import own_normalizer
from serving.inference.inputs import Encoding, Side, Text

MAX_CHARS = 10_000
"""Longer texts would hold the GIL for more than about a millisecond, of known words; of words and
marks that were made up, so many characters take 10 ms."""

MAX_WORDS = 32_768
"""About 7 MB of usual words, with the marks beside them and without; 25 MB of made-up ones. More
would save little."""

_MAX_WORD_CHARS = 20
_SUPPORTED = ("BertNormalizer", "BertPreTokenizer", "WordPiece")
_EMPTY = Encoding([], 0)
_words = re.compile(r"[A-Za-z0-9]+|[^A-Za-z0-9 \t\r\n]").findall
_control_character = re.compile(r"[^ -~\t\r\n]").search


class WordLookup:
    """Encodes texts as `tokenizer`, a parsed tokenizer.json, would. Thread-safe.

    Texts of more than `max_length` tokens are cut at `side`. `encode_word` is the tokenizer's
    model: it returns the ids of a word. Raises ValueError if `tokenizer` is not supported.
    """

    def __init__(
        self,
        tokenizer: Mapping[str, Any],
        encode_word: Callable[[str], Sequence[int]],
        *,
        max_length: int,
        side: Side = "right",
        max_words: int = MAX_WORDS,
    ) -> None:
        normalizer = own_normalizer(tokenizer)
        parts = (normalizer, tokenizer["pre_tokenizer"], tokenizer["model"])
        kinds = tuple(part and part["type"] for part in parts)
        if kinds != _SUPPORTED:
            raise ValueError(f"expected {_SUPPORTED}, not {kinds}")
        self._before, self._after = _special_tokens(tokenizer["post_processor"])
        added = [token["content"] for token in tokenizer["added_tokens"]]
        self.splits_at_spaces = not re.search(r"\s", "".join(added))
        """Whether the tokens of any text up to a space, ASCII or not, are the first of its own."""
        self._marker = _marker(added)
        self._added: Callable[[str], object] = bool
        if self.splits_at_spaces and "".join(added).isascii():
            self._added = re.compile("|".join(map(re.escape, added)), re.IGNORECASE).search
        self._lowercase: bool = normalizer["lowercase"]
        self._max_length = max_length
        # Where the tokens begin that are cut.
        self._cut_at = len(self._before) if side == "left" else max_length - len(self._after)
        self._ids = _Ids(encode_word, max_words)

    def encode(self, texts: Sequence[Text]) -> tuple[list[Encoding], list[int]]:
        """Encode texts; return the indices of those left to the tokenizer, encoded as empty."""
        encodings: list[Encoding] = []
        others: list[int] = []
        before, after, limit = self._before, self._after, self._max_length
        cut_at = self._cut_at
        ids_of = self._ids.__getitem__
        for index, text in enumerate(texts):
            if (
                isinstance(text, str)
                and len(text) <= MAX_CHARS
                and text.isascii()
                and (text.isprintable() or not _control_character(text))
                and not (self._marker and self._marker(text) and self._added(text))
            ):
                words = (text.lower() if self._lowercase else text).split()
                ids = [*before, *chain.from_iterable(map(ids_of, words)), *after]
                full_length = len(ids)
                if full_length > limit:
                    del ids[cut_at : cut_at + full_length - limit]
                encodings.append(Encoding(ids, full_length))
            else:
                others.append(index)
                encodings.append(_EMPTY)
        return encodings, others


class _Ids(dict[str, tuple[int, ...]]):
    """The token ids of what was seen between spaces, and of the words in it."""

    def __init__(self, encode_word: Callable[[str], Sequence[int]], max_words: int) -> None:
        self._encode_word = encode_word
        self._max_words = max_words

    def __missing__(self, word: str) -> tuple[int, ...]:
        parts = _words(word)
        if len(parts) == 1:
            ids = tuple(self._encode_word(word))
        else:
            ids = tuple(chain.from_iterable(map(self.__getitem__, parts)))
        if len(word) <= _MAX_WORD_CHARS:
            if len(self) >= self._max_words:
                self.clear()
            self[word] = ids
        return ids


def _special_tokens(post_processor: Mapping[str, Any] | None) -> tuple[list[int], list[int]]:
    """Return the ids before and after a text. Raises ValueError."""
    match post_processor:
        case None:
            return [], []
        case {"type": "BertProcessing" | "RobertaProcessing", "cls": [_, cls], "sep": [_, sep]}:
            return [cls], [sep]
        case {"type": "TemplateProcessing", "single": pieces, "special_tokens": special}:
            texts = [index for index, piece in enumerate(pieces) if "Sequence" in piece]
            typed = any(part["type_id"] for piece in pieces for part in piece.values())
            if len(texts) == 1 and not typed:
                before, after = pieces[: texts[0]], pieces[texts[0] + 1 :]
                return _ids_of(before, special), _ids_of(after, special)
    raise ValueError(f"the post-processor is not supported: {post_processor}")


def _ids_of(pieces: Sequence[Mapping[str, Any]], special: Mapping[str, Any]) -> list[int]:
    return [index for piece in pieces for index in special[piece["SpecialToken"]["id"]]["ids"]]


def _marker(added_tokens: Iterable[str]) -> Callable[[str], object] | None:
    """Return a search for characters of which each added token has one. Raises ValueError.

    A tokenizer looks for added tokens in the text as it was sent and as it was normalized. A
    punctuation mark is the same in both. To look for the tokens themselves takes longer.
    """
    marks = set()
    for token in added_tokens:
        mark = re.search(r"[!-/:-@\[-`{-~]", token)
        if mark is None:
            raise ValueError(f"the added token {token!r} has no punctuation mark")
        marks.add(re.escape(mark.group()))
    return re.compile(f"[{''.join(sorted(marks))}]").search if marks else None
