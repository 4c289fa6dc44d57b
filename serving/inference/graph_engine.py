"""What the engines share: a graph's signature, and with it the layout and meaning of batches."""

from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Self

import numpy as np

from serving.bundles.bundle import Bundle
from serving.bundles.ports import Port
from serving.errors import EngineFailed
from serving.inference.engine import Logits
from serving.inference.inputs import Item
from serving.inference.signature import Feed, checked, read_signature

# Rounding errors, as of a softmax in half precision.
_TOLERANCE = 1e-2
# The smallest normal number and the largest below 1, whose logits are finite.
_LEAST, _MOST = np.finfo(np.float32).tiny, np.float32(1) - np.finfo(np.float32).epsneg


class GraphEngine:
    """The part of an Engine that follows from the inputs and outputs of its graph."""

    def __init__(self, bundle: Bundle, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
        """Raise BundleError if `inputs` or `outputs` are not those of a classifier."""
        self._signature = read_signature(bundle, inputs, outputs)
        self._labels = len(bundle.manifest.labels)
        self._probabilities = bundle.manifest.graph_output == "probabilities"
        self._multi_label = bundle.manifest.multi_label

    @property
    def packed(self) -> bool:
        """See Engine.packed."""
        return self._signature.packed

    def example(self, length: int) -> Item:
        """See Engine.example."""
        return self._signature.example(length)

    def unpacked(self) -> Self:
        """See Engine.unpacked."""
        other = copy(self)
        other._signature = self._signature.unpacked()  # noqa: SLF001  of the same class
        return other

    def run(self, batch: Sequence[Item]) -> Logits:
        """See Engine.run."""
        rows = self._signature.rows
        if rows and len(batch) > rows:
            starts = range(0, len(batch), rows)
            return np.concatenate([self.run(batch[at : at + rows]) for at in starts])
        answer = self.infer(self._signature.feed(batch))
        # A batch that was filled up has more rows.
        answer = checked(answer[: len(batch)] if rows else answer, len(batch), self._labels)
        return _logits(answer, multi_label=self._multi_label) if self._probabilities else answer

    @abstractmethod
    def infer(self, feed: Feed) -> Logits:
        """Run the graph and return its answer, in memory of its own. Raises EngineFailed."""


def _logits(probabilities: Logits, *, multi_label: bool) -> Logits:
    """Return finite logits whose softmax, or with `multi_label` sigmoid, are `probabilities`."""
    if (probabilities < -_TOLERANCE).any() or (probabilities > 1 + _TOLERANCE).any():
        raise EngineFailed("the graph answered numbers outside 0 to 1, not probabilities")
    if not multi_label:
        return np.log(np.clip(probabilities, _LEAST, None))
    within = np.clip(probabilities, _LEAST, _MOST)
    return np.log(within) - np.log1p(-within)
