"""The inputs and outputs of a classifier's graph: from a batch to the feed, and to logits."""

from collections.abc import Collection, Iterable, Sequence
from copy import copy
from itertools import chain
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from serving.bundles.bundle import Bundle
from serving.errors import BundleError, EngineFailed
from serving.inference.engine import Logits
from serving.inference.inputs import DATATYPES, Encoding, Item, Row
from serving.inference.packing import lay_out

Ids = npt.NDArray[np.int64]
Cells = npt.NDArray[np.int64] | npt.NDArray[np.bool_]
Shape = tuple[int, int]
Feed = dict[str, npt.NDArray[np.generic]]

_PADDED = {"input_ids", "attention_mask"}
_PACKED = {"input_ids", "text_ids", "position_ids", "first_tokens"}


class Signature(Protocol):
    """How to feed a graph, and which output holds the logits."""

    @property
    def packed(self) -> bool:
        """See Engine.packed."""

    @property
    def output(self) -> str:
        """Name of the logits."""

    def unpacked(self) -> Self:
        """See Engine.unpacked."""

    def example(self, length: int) -> Item:
        """See Engine.example."""

    def feed(self, batch: Sequence[Item]) -> Feed:
        """Return the graph's inputs for a batch."""


def read_signature(bundle: Bundle, inputs: Collection[str], outputs: Sequence[str]) -> Signature:
    """Read the signature of a bundle's graph. Raises BundleError for unsupported inputs."""
    kind = TensorSignature if bundle.manifest.tensors else TextSignature
    return kind(bundle, inputs, "logits" if "logits" in outputs else outputs[0])


def checked(logits: Logits, texts: int, labels: int) -> Logits:
    """Check that logits are finite and of shape (texts, labels).

    Raises EngineFailed if they are not.
    """
    if logits.shape != (texts, labels):
        raise EngineFailed(f"the graph answered shape {logits.shape}, not {(texts, labels)}")
    if not np.isfinite(logits).all():
        raise EngineFailed(f"the graph answered a non-finite logit for one of {texts} texts")
    return logits


class TextSignature:
    """Token ids in a grid; every input is int64.

    A padded graph takes `input_ids` and `attention_mask`, one text per row. A packed graph takes
    one or several texts per row: `input_ids`, `text_ids` (numbered from 1; 0 is padding) and
    `position_ids` of shape (rows, tokens), and `first_tokens` of shape (texts, 2), the row and
    column where each text starts. Either may take `token_type_ids`, the segments of a pair.
    """

    def __init__(self, bundle: Bundle, inputs: Collection[str], output: str) -> None:
        """Raise BundleError if `inputs` are of neither kind."""
        self.packed = self._packable = set(inputs) >= _PACKED
        if not self.packed and not set(inputs) >= _PADDED:
            raise BundleError(
                f"{bundle.model_path} takes {sorted(inputs)}: "
                "export it with input_ids and attention_mask"
            )
        self.output = output
        self._typed = "token_type_ids" in inputs
        self._pad_id = bundle.manifest.pad_token_id

    def example(self, length: int) -> Encoding:
        """See Engine.example."""
        return Encoding([1] * length, length)

    def unpacked(self) -> Self:
        """See Engine.unpacked."""
        other = copy(self)
        other.packed = False
        return other

    def feed(self, batch: Sequence[Item]) -> Feed:
        """Return the graph's inputs for these encodings."""
        texts = [item for item in batch if isinstance(item, Encoding)]
        if len(texts) == 1:
            return self._single(texts[0])
        lengths = [len(text.ids) for text in texts]
        total = sum(lengths)
        lay = self._in_shared_rows if self.packed else self._in_own_rows
        feed, shape, cells = lay(lengths)

        def grid(values: Iterable[int], fill: int) -> Ids:
            flat = np.full(shape[0] * shape[1], fill, np.int64)
            flat[cells] = np.fromiter(values, np.int64, total)
            return flat.reshape(shape)

        feed["input_ids"] = grid(chain.from_iterable([text.ids for text in texts]), self._pad_id)
        if self._typed:
            types = [text.types or [0] * len(text.ids) for text in texts]
            feed["token_type_ids"] = grid(chain.from_iterable(types), 0)
        return feed

    def _single(self, text: Encoding) -> Feed:
        """Return the inputs for one text, whose grid has no padding."""
        length = len(text.ids)
        feed: Feed = {"input_ids": np.array([text.ids], np.int64)}
        ones = np.ones((1, length), np.int64)
        if self._packable:
            feed["text_ids"] = ones
            feed["position_ids"] = np.arange(length)[np.newaxis]
            feed["first_tokens"] = np.zeros((1, 2), np.int64)
        else:
            feed["attention_mask"] = ones
        if self._typed:
            feed["token_type_ids"] = np.array([text.types or [0] * length], np.int64)
        return feed

    def _in_own_rows(self, lengths: Sequence[int]) -> tuple[Feed, Shape, Cells]:
        """Return the inputs that depend on lengths alone, the grid, and its cells text by text."""
        shape = rows, tokens = len(lengths), max(lengths)
        positions = np.arange(tokens)
        cells = positions < np.array(lengths)[:, np.newaxis]
        mask = cells.astype(np.int64)
        if not self._packable:
            return {"attention_mask": mask}, shape, cells.reshape(-1)
        first_tokens = np.zeros((rows, 2), np.int64)
        first_tokens[:, 0] = numbers = np.arange(rows)
        feed: Feed = {
            "text_ids": mask * (numbers + 1)[:, np.newaxis],
            "position_ids": mask * positions,
            "first_tokens": first_tokens,
        }
        return feed, shape, cells.reshape(-1)

    def _in_shared_rows(self, lengths: Sequence[int]) -> tuple[Feed, Shape, Cells]:
        """Return the inputs that depend on lengths alone, the grid, and its cells text by text."""
        layout = lay_out(tuple(lengths), packed=True)
        shape = layout.rows, layout.tokens
        places = np.array(layout.places)
        counts = np.array(lengths)
        ends = counts.cumsum()
        texts = np.arange(len(lengths)).repeat(counts)
        positions = np.arange(ends[-1]) - (ends - counts)[texts]
        cells = (places[:, 0] * layout.tokens + places[:, 1])[texts] + positions
        text_ids, position_ids = np.zeros((2, layout.cells), np.int64)
        text_ids[cells] = texts + 1
        position_ids[cells] = positions
        feed: Feed = {
            "text_ids": text_ids.reshape(shape),
            "position_ids": position_ids.reshape(shape),
            "first_tokens": places,
        }
        return feed, shape, cells


class TensorSignature:
    """The manifest's tensors, stacked to one row per answer."""

    packed = False

    def __init__(self, bundle: Bundle, inputs: Collection[str], output: str) -> None:
        """Raise BundleError if the graph's inputs differ from the manifest's tensors."""
        self.output = output
        self._tensors = bundle.manifest.tensors
        if {tensor.name for tensor in self._tensors} != set(inputs):
            raise BundleError(
                f"{bundle.model_path} takes {sorted(inputs)}, "
                f"its manifest says {sorted(tensor.name for tensor in self._tensors)}"
            )

    def unpacked(self) -> Self:
        """See Engine.unpacked."""
        return self

    def example(self, length: int) -> Row:
        """See Engine.example."""
        assert length == 1
        return Row(tuple(np.zeros(t.shape, DATATYPES[t.datatype]) for t in self._tensors))

    def feed(self, batch: Sequence[Item]) -> Feed:
        """Return the graph's inputs for these rows."""
        columns = zip(*(item.tensors for item in batch if isinstance(item, Row)), strict=True)
        return {
            tensor.name: np.stack(column)
            for tensor, column in zip(self._tensors, columns, strict=True)
        }
