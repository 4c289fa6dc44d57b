"""Tensors of the Open Inference Protocol V2, and their binary form."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from serving.bundles.tensor_input import Datatype
from serving.errors import InvalidField
from serving.inference.inputs import DATATYPES

BYTES = "BYTES"
_LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class Tensor:
    """`data` is flat: str for BYTES, else numbers; `shape` is as in the message."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: Any


def array(tensor: Tensor, where: str) -> npt.NDArray[np.generic]:
    """Make an array of the numbers. Raises InvalidField for values that do not fit the datatype."""
    kind = DATATYPES[cast("Datatype", tensor.datatype)]
    if isinstance(tensor.data, np.ndarray):
        values = tensor.data
    else:
        allowed = _python_types(kind)
        for index, value in enumerate(tensor.data):
            if type(value) not in allowed:
                raise InvalidField(
                    f"{type(value).__name__} is not a value of {tensor.datatype}",
                    field=f"{where}.data[{index}]",
                    limit=tensor.datatype,
                    value=value,
                )
        try:
            values = np.array(tensor.data, dtype=kind)
        except OverflowError as error:
            raise InvalidField(str(error), field=f"{where}.data", limit=tensor.datatype) from error
    if np.issubdtype(kind, np.floating) and not np.isfinite(values).all():
        raise InvalidField("send finite numbers", field=f"{where}.data", limit="finite")
    return values.reshape(tensor.shape)


def _python_types(kind: type[np.generic]) -> tuple[type, ...]:
    if kind is np.bool_:
        return (bool,)
    return (int, float) if np.issubdtype(kind, np.floating) else (int,)


def from_binary(datatype: str, data: bytes, where: str) -> Any:
    """Read the elements of binary or raw contents, little-endian. Raises InvalidField."""
    if datatype != BYTES:
        kind = DATATYPES.get(datatype)  # type: ignore[call-overload]
        if kind is None or len(data) % np.dtype(kind).itemsize:
            raise InvalidField(
                f"{len(data)} bytes are not a whole number of {datatype} elements",
                field=f"{where}.datatype",
                limit=list(DATATYPES),
                value=datatype,
            )
        return np.frombuffer(data, np.dtype(kind).newbyteorder("<")).astype(kind)
    texts: list[str] = []
    at = 0
    while at < len(data):
        end = at + _LENGTH_BYTES + int.from_bytes(data[at : at + _LENGTH_BYTES], "little")
        if at + _LENGTH_BYTES > len(data) or end > len(data):
            raise InvalidField(
                "the data ends within its last element", field=f"{where}.data", limit=len(data)
            )
        texts.append(text_of(data[at + _LENGTH_BYTES : end], f"{where}.data[{len(texts)}]"))
        at = end
    return texts


def text_of(data: bytes, where: str) -> str:
    """Decode a BYTES element. Raises InvalidField unless it is UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidField("send UTF-8", field=where, limit="UTF-8") from error


def to_binary(tensor: Tensor) -> bytes:
    """Write the elements of binary or raw contents, little-endian."""
    if tensor.datatype != BYTES:
        return np.array(tensor.data, np.dtype("<f4")).tobytes()
    encoded = [each.encode() for each in tensor.data]
    return b"".join(len(each).to_bytes(_LENGTH_BYTES, "little") + each for each in encoded)
