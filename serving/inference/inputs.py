"""What an engine reads for one answer: a text's tokens, or a row of tensors.

It does not know how a text becomes tokens, nor how a batch is laid out.
"""

from array import array
from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from serving.bundles.bundle import Datatype

DATATYPES: Mapping[Datatype, type[np.generic]] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
"""The type of an array for each datatype."""

Text = str | tuple[str, str]
"""One text, or two that are classified together (entailment, duplicates)."""


class Encoding(NamedTuple):
    """One text as token ids, special tokens included, at most the model's max_length of them.

    `full_length` counts the tokens that the whole text has, so that it exceeds `length`
    exactly when the text was cut. `types` says for each token of a pair to which text it belongs
    (0 or 1, as the model's tokenizer has it); None is all 0.
    """

    ids: list[int]
    full_length: int
    types: list[int] | None = None

    @property
    def length(self) -> int:
        """Number of token ids."""
        return len(self.ids)

    @property
    def truncated(self) -> bool:
        """Whether the text had more tokens than the model takes."""
        return self.full_length > len(self.ids)

    def digest(self) -> bytes:
        """The same, to 128 bits, for what an engine reads alike."""
        types = self.types if self.types and any(self.types) else ()
        return _digest(array("q", self.ids).tobytes(), array("b", types).tobytes())


class Row(NamedTuple):
    """One row of each input tensor of a model that reads no text, in the manifest's order."""

    tensors: tuple[npt.NDArray[np.generic], ...]
    full_length: int = 1
    length: int = 1
    truncated: bool = False

    def digest(self) -> bytes:
        """The same, to 128 bits, for what an engine reads alike."""
        return _digest(*(tensor.tobytes() for tensor in self.tensors))


Item = Encoding | Row


def chars(text: Text) -> int:
    """Number of characters of a text or of both of a pair."""
    return len(text) if isinstance(text, str) else sum(map(len, text))


def _digest(*parts: bytes) -> bytes:
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
