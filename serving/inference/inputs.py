"""The inputs of an engine: the tokens of a text, or a row of tensors."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from serving.bundles.tensor_input import Datatype
from serving.bundles.windows import Long

_Item = TypeVar("_Item")

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
"""The NumPy type of each datatype."""

Text = str | tuple[str, str]
"""A text, or a pair that is classified together (entailment, duplicates)."""

Side = Literal["left", "right"]
"""The end of a text that is cut: left is its start."""

Handling = Long | Side
"""What becomes of a text that is too long; a side truncates it there, whatever the tokenizer's."""


@lru_cache(1024)
def int32_packer(count: int) -> Callable[..., bytes]:
    """Return what packs so many numbers as int32, in half the time that `array` takes."""
    return Struct(f"{count}i").pack


@dataclass(slots=True, init=False)
class Encoding:
    """One text as at most max_length token ids, special tokens included; `length` counts them.

    `full_length` counts the tokens of the whole text, so it exceeds `length` if and only if the
    text was truncated. `types` holds the segment of each token; None means 0.
    """

    ids: "list[int] | array[int]"
    full_length: int
    types: list[int] | None
    length: int

    def __init__(
        self, ids: "list[int] | array[int]", full_length: int, types: list[int] | None = None
    ) -> None:
        self.ids = ids
        self.full_length = full_length
        self.types = types
        self.length = len(ids)

    @property
    def truncated(self) -> bool:
        """Whether the text was truncated to the model's max_length."""
        return self.full_length > self.length

    def key(self) -> bytes:
        """Return what the engine reads, as bytes."""
        if self.types and any(self.types):
            # No id is negative, so no text without segments has the same key.
            return int32_packer(1 + 2 * self.length)(-1, *self.types, *self.ids)
        return int32_packer(self.length)(*self.ids)


class Unreadable(Encoding):
    """A text on which the tokenizer fails, in its words; it has no tokens."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        super().__init__([], 0)
        self.reason = reason


def why_no_tokens(item: "Item") -> str:
    """Say why a text of length 0 cannot be classified."""
    if isinstance(item, Unreadable):
        return f"the model's tokenizer cannot read it ({item.reason})"
    return "the model's tokenizer finds no token in it"


class Row(NamedTuple):
    """One row of each input tensor, in the manifest's order."""

    tensors: tuple[npt.NDArray[np.generic], ...]
    full_length: int = 1
    length: int = 1
    truncated: bool = False

    def key(self) -> bytes:
        """Return a 128-bit hash of everything that the engine reads."""
        digest = blake2b(digest_size=16)
        for tensor in self.tensors:
            digest.update(tensor.nbytes.to_bytes(8, "big"))
            digest.update(tensor.tobytes())
        return digest.digest()


Item = Encoding | Row


def chars(text: Text) -> int:
    """Return the number of characters of a text or a pair."""
    return len(text) if isinstance(text, str) else sum(map(len, text))


def grouped(
    items: Iterable[_Item], size: Callable[[_Item], int], most: int
) -> Iterator[list[_Item]]:
    """Yield the items in order, in groups whose sizes sum up to `most`; any item fits alone."""
    group: list[_Item] = []
    total = 0
    for item in items:
        its_size = size(item)
        if group and total + its_size > most:
            yield group
            group, total = [], 0
        group.append(item)
        total += its_size
    if group:
        yield group
