"""The inputs and outputs of a classifier's graph: from a batch to the feed, and to logits."""

from collections.abc import Iterable, Sequence
from copy import copy
from itertools import chain
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from serving.bundles.bundle import Bundle
from serving.bundles.ports import Port, answer_of
from serving.errors import BundleError, EngineFailed
from serving.inference.engine import Logits
from serving.inference.inputs import DATATYPES, Encoding, Item, Row
from serving.inference.packing import lay_out

Ids = npt.NDArray[np.int64]
Cells = npt.NDArray[np.int64] | npt.NDArray[np.bool_]
Shape = tuple[int, int]
Feed = dict[str, npt.NDArray[np.generic]]

_PADDED = {"input_ids", "attention_mask", "token_type_ids", "position_ids"}
_PACKED = {"input_ids", "text_ids", "position_ids", "first_tokens"}
_INTEGERS = {"int64", "int32"}
_MASKS = _INTEGERS | {"bool", "float32"}


class Signature(Protocol):
    """How to feed a graph, and which output is the answer."""

    @property
    def packed(self) -> bool:
        """See Engine.packed."""

    @property
    def output(self) -> str:
        """Name of the answer."""

    @property
    def rows(self) -> int:
        """Most inputs in one run; 0 if any number will do."""

    def unpacked(self) -> Self:
        """See Engine.unpacked."""

    def example(self, length: int) -> Item:
        """See Engine.example."""

    def feed(self, batch: Sequence[Item]) -> Feed:
        """Return the graph's inputs for a batch of at most `rows`; a fixed batch is filled up."""


def read_signature(bundle: Bundle, inputs: Sequence[Port], outputs: Sequence[Port]) -> Signature:
    """Read the signature of a bundle's graph.

    Raises BundleError if its inputs are not supported, or no output can be the answer.
    """
    output = answer_of(outputs, len(bundle.manifest.labels), bundle.model_path)
    kind = TensorSignature if bundle.manifest.tensors else TextSignature
    return kind(bundle, inputs, output)


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
    """Token ids in a grid.

    A padded graph takes `input_ids`, `attention_mask` and maybe `position_ids`, one text per row.
    It may be fixed to a number of rows, of tokens or both: rows are filled up with copies of the
    last text, which cannot change the range of its activations, and tokens with padding. Without
    an `attention_mask` each text runs alone. A packed graph takes one or several texts per row:
    `input_ids`, `text_ids` (numbered from 1; 0 is padding) and `position_ids` of shape
    (rows, tokens), and `first_tokens` of shape (texts, 2), the row and column where each text
    starts. Either may take `token_type_ids`, the segments.
    """

    def __init__(self, bundle: Bundle, inputs: Sequence[Port], output: str) -> None:
        """Raise BundleError if `inputs` are of neither kind, or fixed to too few tokens."""
        names = {port.name for port in inputs}
        self.packed = self._packable = names >= _PACKED
        self.output = output
        self._masked = "attention_mask" in names
        self._typed = "token_type_ids" in names
        self._positioned = "position_ids" in names
        self._pad_id = bundle.manifest.pad_token_id
        self._tokens = max((port.size(1) for port in inputs if port.name in _PADDED), default=0)
        self._filled = max((port.size(0) for port in inputs), default=0)
        self.rows = self._filled or int(not self._packable and not self._masked)
        self._kinds = [(port.name, port.kind) for port in inputs if port.kind != "int64"]
        self._check(bundle, inputs)

    def _check(self, bundle: Bundle, inputs: Sequence[Port]) -> None:
        known = _PACKED | {"token_type_ids"} if self._packable else _PADDED
        takes = f"{bundle.model_path} takes {', '.join(map(str, inputs))}"
        unmasked = not self._packable and self._tokens and not self._masked
        if {"input_ids"} - {port.name for port in inputs} or unmasked:
            raise BundleError(f"{takes}: export it with input_ids and attention_mask")
        for port in inputs:
            if port.name not in known:
                raise BundleError(
                    f"{takes}: {port.name} is not known: export it with input_ids, attention_mask "
                    "and, where the model has them, token_type_ids and position_ids"
                )
            if port.kind not in (_MASKS if port.name == "attention_mask" else _INTEGERS):
                raise BundleError(f"{takes}: export {port.name} as int64 or int32")
            if port.shape is not None and len(port.shape) != 2:
                raise BundleError(f"{takes}: export {port.name} with the shape [batch, tokens]")
        if self._packable and (self._filled or self._tokens):
            raise BundleError(f"{takes}: export it with dynamic axes")
        if 0 < self._tokens < bundle.manifest.max_length:
            raise BundleError(
                f"{takes}, so at most {self._tokens} tokens, and its manifest says "
                f"{bundle.manifest.max_length}: import it again"
            )

    def example(self, length: int) -> Encoding:
        """See Engine.example."""
        return Encoding([1] * length, length)

    def unpacked(self) -> Self:
        """See Engine.unpacked."""
        other = copy(self)
        other.packed = False
        return other

    def feed(self, batch: Sequence[Item]) -> Feed:
        """See Signature.feed."""
        texts = [item for item in batch if isinstance(item, Encoding)]
        if self._filled:
            texts += texts[-1:] * (self._filled - len(texts))
        alone = len(texts) == 1 and not self._tokens
        feed = self._single(texts[0]) if alone else self._several(texts)
        for name, kind in self._kinds:
            feed[name] = feed[name].astype(kind)
        return feed

    def _several(self, texts: Sequence[Encoding]) -> Feed:
        """Return the inputs for texts in a grid."""
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
            feed["first_tokens"] = np.zeros((1, 2), np.int64)
        elif self._masked:
            feed["attention_mask"] = ones
        if self._positioned:
            feed["position_ids"] = np.arange(length)[np.newaxis]
        if self._typed:
            feed["token_type_ids"] = np.array([text.types or [0] * length], np.int64)
        return feed

    def _in_own_rows(self, lengths: Sequence[int]) -> tuple[Feed, Shape, Cells]:
        """Return the inputs that depend on lengths alone, the grid, and its cells text by text."""
        shape = rows, tokens = len(lengths), self._tokens or max(lengths)
        positions = np.arange(tokens)
        cells = positions < np.array(lengths)[:, np.newaxis]
        mask = cells.astype(np.int64)
        feed: Feed = {"position_ids": mask * positions} if self._positioned else {}
        if not self._packable:
            return feed | {"attention_mask": mask}, shape, cells.reshape(-1)
        first_tokens = np.zeros((rows, 2), np.int64)
        first_tokens[:, 0] = numbers = np.arange(rows)
        feed["text_ids"] = mask * (numbers + 1)[:, np.newaxis]
        feed["first_tokens"] = first_tokens
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

    def __init__(self, bundle: Bundle, inputs: Sequence[Port], output: str) -> None:
        """Raise BundleError if the graph's inputs differ from the manifest's tensors."""
        self.output = output
        self._tensors = bundle.manifest.tensors
        self.rows = max((port.size(0) for port in inputs), default=0)
        if {tensor.name for tensor in self._tensors} != {port.name for port in inputs}:
            raise BundleError(
                f"{bundle.model_path} takes {sorted(port.name for port in inputs)}, "
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
        """See Signature.feed."""
        rows = [item for item in batch if isinstance(item, Row)]
        if self.rows:
            rows += rows[-1:] * (self.rows - len(rows))
        columns = zip(*(row.tensors for row in rows), strict=True)
        return {
            tensor.name: np.stack(column)
            for tensor, column in zip(self._tensors, columns, strict=True)
        }
