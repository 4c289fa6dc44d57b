"""The inputs of a model that reads rows of numbers."""

from typing import Annotated, Literal

from pydantic import Field

from serving.bundles.files import MOST_INT32, Frozen

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64",
]  # fmt: skip
"""Numeric types as the Open Inference Protocol, V2, names them."""


class TensorInput(Frozen):
    """One input of a model that reads no text."""

    name: Annotated[str, Field(min_length=1)]
    """Name of the graph's input."""
    datatype: Datatype
    """Type of its numbers, as the Open Inference Protocol V2 names it."""
    shape: list[Annotated[int, Field(ge=1, le=MOST_INT32)]]
    """Shape of one row, without the batch."""
