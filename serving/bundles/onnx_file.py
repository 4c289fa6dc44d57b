"""The outline of an ONNX file, read without the library onnx and without its weights.

It follows onnx.proto: a message is a sequence of numbered fields, and those that nobody needs are
skipped, so that a graph of gigabytes is read in milliseconds.
"""

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from serving.bundles.bundle import Datatype
from serving.errors import BundleError

# TensorProto.DataType.
FLOAT, UINT8, INT8, INT32, INT64, STRING, BOOL, FLOAT16, DOUBLE, BFLOAT16, UINT4, INT4 = (
    1, 2, 3, 6, 7, 8, 9, 10, 11, 16, 21, 22,
)  # fmt: skip
DATATYPES: dict[int, Datatype] = {
    FLOAT: "FP32", UINT8: "UINT8", INT8: "INT8", 4: "UINT16", 5: "INT16", INT32: "INT32",
    INT64: "INT64", BOOL: "BOOL", FLOAT16: "FP16", DOUBLE: "FP64", 12: "UINT32", 13: "UINT64",
}  # fmt: skip
"""The types of inputs that a manifest can name."""
OTHER_DATATYPES = {
    4: "UINT16", 5: "INT16", 12: "UINT32", 13: "UINT64", 14: "COMPLEX64", 15: "COMPLEX128",
    17: "FLOAT8E4M3FN", 18: "FLOAT8E4M3FNUZ", 19: "FLOAT8E5M2", 20: "FLOAT8E5M2FNUZ",
    23: "FLOAT4E2M1",
}  # fmt: skip
"""The names of types that no manifest calls a precision."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT = 10
_LOCATION = b"location"


@dataclass(frozen=True, slots=True)
class Weights:
    """One initializer."""

    name: str
    datatype: int
    shape: tuple[int, ...]
    location: str = ""
    """The file that holds its values, relative to the graph; empty if they are inside."""

    @property
    def size(self) -> int:
        """The number of its values."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Value:
    """An input or output; a dimension that is not fixed is 0."""

    name: str
    datatype: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One operator."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """What a graph reads, computes and answers, without the values of its weights."""

    path: Path
    nodes: list[Node] = field(default_factory=list)
    weights: list[Weights] = field(default_factory=list)
    inputs: list[Value] = field(default_factory=list)
    """Without initializers, which old files list too."""
    outputs: list[Value] = field(default_factory=list)

    @property
    def external_files(self) -> list[str]:
        """Names of the files that hold weights, relative to the graph."""
        return sorted({each.location for each in self.weights if each.location})


def read_outline(path: Path) -> Outline:
    """Read an ONNX file. Raises BundleError if it is none."""
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        outline = _model(path, memoryview(mapped))
    except (OSError, ValueError, IndexError) as error:
        raise BundleError(f"{path} is not an ONNX file: {error}") from error
    if not outline.outputs:
        raise BundleError(f"{path} is not an ONNX file: it holds no graph with an output")
    return outline


def _model(path: Path, data: memoryview) -> Outline:
    outline = Outline(path)
    for number, value in _fields(data):
        if number == 7:
            _read_graph(_message(value), outline)
    names = {each.name for each in outline.weights}
    outline.inputs[:] = [each for each in outline.inputs if each.name not in names]
    return outline


def _read_graph(data: memoryview, outline: Outline) -> None:
    for number, value in _fields(data):
        if number == 1:
            outline.nodes.append(_node(_message(value)))
        elif number == 5:
            outline.weights.append(_weights(_message(value)))
        elif number == 11:
            outline.inputs.append(_value(_message(value)))
        elif number == 12:
            outline.outputs.append(_value(_message(value)))


def _node(data: memoryview) -> Node:
    texts: dict[int, list[str]] = {1: [], 2: [], 4: []}
    for number, value in _fields(data):
        if number in texts:
            texts[number].append(_text(value))
    return Node("".join(texts[4]), tuple(texts[1]), tuple(texts[2]))


def _weights(data: memoryview) -> Weights:
    name, datatype, location = "", 0, ""
    shape: list[int] = []
    for number, value in _fields(data):
        if number == 1:
            shape += [value] if isinstance(value, int) else _packed(value)
        elif number == 2:
            datatype = int(value) if isinstance(value, int) else 0
        elif number == 8:
            name = _text(value)
        elif number == 13:
            entry = {part: bytes(_message(text)) for part, text in _fields(_message(value))}
            if entry.get(1) == _LOCATION:
                location = entry.get(2, b"").decode()
    return Weights(name, datatype, tuple(shape), location)


def _value(data: memoryview) -> Value:
    name, datatype = "", 0
    shape: list[int] = []
    for number, value in _fields(data):
        if number == 1:
            name = _text(value)
        elif number == 2:
            for _, kind in _fields(_message(value)):
                for part, content in _fields(_message(kind)):
                    if part == 1 and isinstance(content, int):
                        datatype = content
                    elif part == 2 and not isinstance(content, int):
                        shape = [_dimension(_message(each)) for _, each in _fields(content)]
    return Value(name, datatype, tuple(shape))


def _dimension(data: memoryview) -> int:
    return next(
        (value for number, value in _fields(data) if number == 1 and isinstance(value, int)), 0
    )


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield each field's number and value. Raises ValueError if `data` is no message."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == _BYTES:
            length, place = _varint(data, place)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise ValueError(f"no field begins at byte {place}")
        if place + length > len(data):
            raise ValueError("it is cut off")
        yield number, data[place : place + length]
        place += length


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(_LONGEST_VARINT):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, place
    raise ValueError(f"no number begins at byte {place}")


def _packed(data: memoryview) -> list[int]:
    numbers, place = [], 0
    while place < len(data):
        number, place = _varint(data, place)
        numbers.append(number)
    return numbers


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands in place of a message")  # noqa: TRY004
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode()
