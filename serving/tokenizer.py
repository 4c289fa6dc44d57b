"""Text to Encoding, by the bundle's own tokenizer.json; the only home of `tokenizers`.

It does not know what an encoding is used for, nor which thread it runs on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tokenizers

from serving.errors import BundleError


@dataclass(frozen=True, slots=True)
class Encoding:
    """One text as token ids, special tokens included, at most the model's max_length of them.

    `full_length` counts the tokens that the whole text has, so that it exceeds `length`
    exactly when the text was cut.
    """

    ids: list[int]
    full_length: int

    @property
    def length(self) -> int:
        """Number of token ids."""
        return len(self.ids)

    @property
    def truncated(self) -> bool:
        """Whether the text had more tokens than the model takes."""
        return self.full_length > len(self.ids)


class Tokenizer:
    """A tokenizer.json with the model's length limit. Thread-safe; releases the GIL."""

    def __init__(self, path: Path, max_length: int) -> None:
        """Raises BundleError when the file is not a tokenizer."""
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise BundleError(f"{path} is not a tokenizers file: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length)
        self._special_tokens = self._tokenizer.num_special_tokens_to_add(False)
        if max_length <= self._special_tokens:
            raise BundleError(f"{path}: max_length {max_length} leaves no room for text")

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode texts, in order."""
        return [
            Encoding(
                ids=raw.ids,
                full_length=len(raw.ids)
                + sum(len(rest.ids) - self._special_tokens for rest in raw.overflowing),
            )
            for raw in self._tokenizer.encode_batch_fast(list(texts))
        ]
