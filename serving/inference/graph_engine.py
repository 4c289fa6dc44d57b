"""What the engines share: a graph's signature, and with it the layout of batches."""

from collections.abc import Collection, Sequence
from copy import copy
from typing import Self

from serving.bundles.bundle import Bundle
from serving.inference.inputs import Item
from serving.inference.signature import read_signature


class GraphEngine:
    """The part of an Engine that follows from the inputs and outputs of its graph."""

    def __init__(self, bundle: Bundle, inputs: Collection[str], outputs: Sequence[str]) -> None:
        """Raise BundleError if `inputs` are not those of a classifier."""
        self._signature = read_signature(bundle, inputs, outputs)
        self._labels = len(bundle.manifest.labels)

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
