"""The outline of an ONNX file, read without the library onnx and without its weights.

By onnx.proto a message is a sequence of numbered fields; those that nobody needs are skipped, so
that gigabytes take milliseconds. It is not mapped into memory: cut off meanwhile, it would end us.
"""

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from serving.bundles.files import open_file
from serving.bundles.tensor_input import Datatype
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
DATATYPE_NAMES: dict[int, str] = {
    **DATATYPES,
    STRING: "text", BFLOAT16: "BF16", 14: "COMPLEX64", 15: "COMPLEX128", 17: "FLOAT8E4M3FN",
    18: "FLOAT8E4M3FNUZ", 19: "FLOAT8E5M2", 20: "FLOAT8E5M2FNUZ", UINT4: "UINT4", INT4: "INT4",
    23: "FLOAT4E2M1",
}  # fmt: skip
"""The names of all types."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT = 10
_LARGEST_FIELD = 2**29 - 1
_LOCATION = b"location"
_READ_AT_ONCE = 1 << 16
# Fields that hold tensors, by their numbers.
_ATTRIBUTE = {5: "tensor", 10: "tensor", 6: "graph", 11: "graph", 22: "sparse", 23: "sparse"}
_SPARSE = {1: "tensor", 2: "tensor"}
_TRAINING = {1: "graph", 2: "graph"}


class _Span:
    """A part of a file that is too large to be read at once."""

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        self._file, self._start, self._length = file, start, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, place: int) -> int:
        if place >= self._length:
            raise IndexError(f"it ends at byte {place}")
        self._file.seek(self._start + place)
        return self._file.read(1)[0]

    def part(self, place: int, length: int) -> "_Data":
        start = self._start + place
        if length > _READ_AT_ONCE:
            return _Span(self._file, start, length)
        self._file.seek(start)
        return memoryview(self._file.read(length))


_Data = memoryview | _Span


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
    inner_locations: set[str] = field(default_factory=set)
    """The files that hold all other tensors: of subgraphs, attributes and sparse weights."""

    @property
    def external_files(self) -> list[str]:
        """Names of the files that hold weights, relative to the graph."""
        found = {each.location for each in self.weights if each.location}
        return sorted(found | self.inner_locations)


def read_outline(path: Path) -> Outline:
    """Read an ONNX file. Raises BundleError if it is none."""
    try:
        with open_file(path) as file:
            outline = _model(path, _Span(file, 0, os.fstat(file.fileno()).st_size))
    except (OSError, ValueError, IndexError, RecursionError) as error:
        raise BundleError(f"{path} is not an ONNX file: {error}") from error
    if not outline.outputs:
        raise BundleError(f"{path} is not an ONNX file: it holds no graph with an output")
    return outline


def _model(path: Path, data: _Data) -> Outline:
    outline = Outline(path)
    for number, value in _fields(data):
        if number == 7:
            _read_graph(_message(value), outline)
        elif number == 25:  # a function of several operators
            for part, node in _fields(_message(value)):
                if part == 7:
                    _node(_message(node), outline)
                elif part == 11:  # an attribute with a default
                    outline.inner_locations.update(_locations(_message(node)))
        elif number == 20:  # how to train it
            outline.inner_locations.update(_locations(_message(value), _TRAINING))
    names = {each.name for each in outline.weights}
    outline.inputs[:] = [each for each in outline.inputs if each.name not in names]
    return outline


def _read_graph(data: _Data, outline: Outline) -> None:
    for number, value in _fields(data):
        if number == 1:
            outline.nodes.append(_node(_message(value), outline))
        elif number == 5:
            outline.weights.append(_weights(_message(value)))
        elif number == 11:
            outline.inputs.append(_value(_message(value)))
        elif number == 12:
            outline.outputs.append(_value(_message(value)))
        elif number == 15:
            outline.inner_locations.update(_locations(_message(value), _SPARSE))


def _node(data: _Data, outline: Outline) -> Node:
    texts: dict[int, list[str]] = {1: [], 2: [], 4: []}
    for number, value in _fields(data):
        if number in texts:
            texts[number].append(_text(value))
        elif number == 5:
            outline.inner_locations.update(_locations(_message(value)))
    return Node("".join(texts[4]), tuple(texts[1]), tuple(texts[2]))


def _locations(message: _Data, kinds: Mapping[int, str] = _ATTRIBUTE) -> set[str]:
    """Return the files that hold the values of a message, whose fields are of these kinds."""
    found: set[str] = set()
    for number, value in _fields(message):
        kind = kinds.get(number)
        if kind == "tensor":
            found.add(_weights(_message(value)).location)
        elif kind == "graph":
            inner = Outline(Path())
            _read_graph(_message(value), inner)
            found.update(inner.external_files)
        elif kind == "sparse":
            found |= _locations(_message(value), _SPARSE)
    return found - {""}


def _weights(data: _Data) -> Weights:
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
            entry = {part: _bytes(text) for part, text in _fields(_message(value))}
            if entry.get(1) == _LOCATION:
                if location:  # readers differ on which of them counts
                    raise ValueError(f"the tensor {name[:100]!r} names two files")
                location = entry.get(2, b"").decode()
    return Weights(name, datatype, tuple(shape), location)


def _value(data: _Data) -> Value:
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


def _dimension(data: _Data) -> int:
    return next(
        (value for number, value in _fields(data) if number == 1 and isinstance(value, int)), 0
    )


def _fields(data: _Data) -> Iterator[tuple[int, int | _Data]]:
    """Yield each field's number and value. Raises ValueError if `data` is no message."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        if not 0 < number <= _LARGEST_FIELD:  # protobuf would cut the number off
            raise ValueError(f"no field begins at byte {place}")
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
        yield number, _part(data, place, length)
        place += length


def _part(data: _Data, place: int, length: int) -> _Data:
    part = data.part(place, length) if isinstance(data, _Span) else data[place : place + length]
    if len(part) < length:
        raise ValueError("it is cut off")
    return part


def _varint(data: _Data, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(_LONGEST_VARINT):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, place
    raise ValueError(f"no number begins at byte {place}")


def _packed(data: _Data) -> list[int]:
    numbers, place = [], 0
    while place < len(data):
        number, place = _varint(data, place)
        numbers.append(number)
    return numbers


def _message(value: int | _Data) -> _Data:
    if isinstance(value, int):
        raise ValueError("a number stands in place of a message")  # noqa: TRY004
    return value


def _text(value: int | _Data) -> str:
    return _bytes(value).decode()


def _bytes(value: int | _Data) -> bytes:
    if not isinstance(value, memoryview):
        raise ValueError("a number or a large message stands in place of a text")  # noqa: TRY004
    return bytes(value)
