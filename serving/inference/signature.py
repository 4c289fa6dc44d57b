"""The inputs and outputs of a classifier's graph: from a batch to the feed, and to logits."""

from collections.abc import Collection, Sequence
from itertools import chain
from typing import Protocol

import numpy as np
import numpy.typing as npt

from serving.bundles.bundle import Bundle
from serving.errors import BundleError, EngineFailed
from serving.inference.engine import Logits
from serving.inference.inputs import DATATYPES, Encoding, Item, Row
from serving.inference.packing import lay_out

Ids = npt.NDArray[np.int64]
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
    several texts per row: `input_ids`, `text_ids` (numbered from 1; 0 is padding) and
    `position_ids` of shape (rows, tokens), and `first_tokens` of shape (texts, 2), the row and
    column where each text starts. Either may take `token_type_ids`, the segments of a pair.
    """

    def __init__(self, bundle: Bundle, inputs: Collection[str], output: str) -> None:
        """Raise BundleError if `inputs` are of neither kind."""
        self.packed = set(inputs) >= _PACKED
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

    def feed(self, batch: Sequence[Item]) -> Feed:
        """Return the graph's inputs for these encodings."""
        texts = [item for item in batch if isinstance(item, Encoding)]
        lengths = [len(text.ids) for text in texts]
        layout = lay_out(tuple(lengths), packed=self.packed)
        places = np.array(layout.places, dtype=np.int64)
        ends = np.cumsum(lengths)
        positions = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
        cells = np.repeat(places[:, 0] * layout.tokens + places[:, 1], lengths) + positions

        def grid(values: Ids, fill: int = 0) -> Ids:
            flat = np.full(layout.cells, fill, dtype=np.int64)
            flat[cells] = values
            return flat.reshape(layout.rows, layout.tokens)

        ids = chain.from_iterable(text.ids for text in texts)
        feed: Feed = {"input_ids": grid(np.fromiter(ids, np.int64, ends[-1]), self._pad_id)}
        if self.packed:
            feed["text_ids"] = grid(np.repeat(np.arange(1, len(batch) + 1), lengths))
            feed["position_ids"] = grid(positions)
            feed["first_tokens"] = places
        else:
            feed["attention_mask"] = grid(np.ones_like(positions))
        if self._typed:
            types = chain.from_iterable(text.types or [0] * len(text.ids) for text in texts)
            feed["token_type_ids"] = grid(np.fromiter(types, np.int64, ends[-1]))
        return feed


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
