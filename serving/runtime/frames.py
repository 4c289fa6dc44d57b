"""The frames between an HTTP process and the engine process, as bytes. Pure.

A frame is its length and kind, then its body. A MESSAGE is a pickled tuple. The frames of requests
and answers are made of columns, so that a text costs neither side a pickled object: of REQUESTS the
heads, the lengths of all texts, their token ids and their types; of ANSWERS the heads, then for
each text its times and its logits; of WITHDRAWALS the numbers of the requests. Both processes are
on one machine, so numbers are in its byte order.
"""

import pickle
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from math import isnan, nan
from struct import Struct
from typing import Any

from serving.batching.interface import InferenceResult
from serving.batching.queue import Terms
from serving.inference.inputs import Encoding, int32_packer

MESSAGE, REQUESTS, ANSWERS, WITHDRAWALS = range(4)

_FRAME = Struct("=IB")
_REQUESTS = Struct("=III")
# Number, variant, flow, whether it may be reused, texts, deadline, start tag.
_REQUEST = Struct("=QII?Idd")
_COUNT = Struct("=I")
# Number, texts, labels.
_ANSWER = Struct("=QII")
_TIMES = 3
_IDS = array("i").itemsize


def message(*content: Any) -> bytes:
    """Write a frame that holds any objects."""
    return _frame(MESSAGE, pickle.dumps(content, pickle.HIGHEST_PROTOCOL))


def withdrawals(numbers: Sequence[int]) -> bytes:
    """Write a frame that withdraws requests."""
    return _frame(WITHDRAWALS, array("Q", numbers))


def read_withdrawals(body: memoryview) -> Sequence[int]:
    """Read the numbers of the requests that a frame withdraws."""
    return body.cast("Q")


def _frame(kind: int, *columns: Any) -> bytes:
    body = b"".join(columns)
    return _FRAME.pack(len(body), kind) + body


class FrameReader:
    """Frames from a stream of bytes, however it is cut."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._have = 0
        self._need = _FRAME.size

    def feed(self, data: bytes) -> Iterator[tuple[int, memoryview]]:
        """Take more bytes, and yield kind and body of each frame that they complete."""
        self._pieces.append(data)
        self._have += len(data)
        if self._have < self._need:
            return
        whole = memoryview(data if len(self._pieces) == 1 else b"".join(self._pieces))
        start, stop = 0, len(whole)
        frames = []
        self._need = _FRAME.size
        while stop - start >= _FRAME.size:
            size, kind = _FRAME.unpack_from(whole, start)
            body = start + _FRAME.size
            if stop - body < size:
                self._need = _FRAME.size + size
                break
            frames.append((kind, whole[body : body + size]))
            start = body + size
        self._pieces = [bytes(whole[start:])] if start < stop else []
        self._have = stop - start
        yield from frames


class RequestFrame:
    """Collects the requests of one turn of the loop; `variant` and `flow` are agreed numbers."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._heads: list[bytes] = []
        self._lengths: list[int] = []
        self._ids: list[bytes] = []
        self._types: list[bytes] = []

    def add(
        self, number: int, variant: int, flow: int, items: Sequence[Encoding], terms: Terms
    ) -> None:
        """Add a request, or raise and add nothing."""
        tag_s = terms.start_tag_s
        head = _REQUEST.pack(
            number, variant, flow, terms.reuse, len(items), terms.deadline_s,
            nan if tag_s is None else tag_s,
        )  # fmt: skip
        lengths, ids, types = [], [], []
        for item in items:
            ids.append(int32_packer(item.length)(*item.ids))
            if item.types:
                types.append(bytes(item.types))
                lengths.append(-item.length)  # tells that it has types
            else:
                lengths.append(item.length)
        self._heads.append(head)
        self._lengths += lengths
        self._ids += ids
        self._types += types

    def take(self) -> bytes:
        """Write the frame and start the next; nothing if there is no request."""
        if not self._heads:
            return b""
        ids = b"".join(self._ids)
        counts = _REQUESTS.pack(len(self._heads), len(self._lengths), len(ids) // _IDS)
        lengths = array("i", self._lengths)
        frame = _frame(REQUESTS, counts, *self._heads, lengths, ids, *self._types)
        self._clear()
        return frame


Request = tuple[int, int, int, list[Encoding], bool, float, float | None]
"""Number, variant, flow, items, then the terms: reuse, deadline and start tag."""


def read_requests(body: memoryview) -> Iterator[Request]:
    """Read the requests of a frame."""
    requests, texts, tokens = _REQUESTS.unpack_from(body)
    heads_end = _REQUESTS.size + requests * _REQUEST.size
    lengths_end = heads_end + texts * _IDS
    ids_end = lengths_end + tokens * _IDS
    lengths, ids = array("i"), array("i")
    lengths.frombytes(body[heads_end:lengths_end])
    ids.frombytes(body[lengths_end:ids_end])
    types = body[ids_end:]
    length_of = iter(lengths)
    start = typed = 0
    for number, variant, flow, reuse, count, deadline_s, tag_s in _REQUEST.iter_unpack(
        body[_REQUESTS.size : heads_end]
    ):
        items = []
        for length in islice(length_of, count):
            stop = start + abs(length)
            its_types = None
            if length < 0:
                its_types = list(types[typed : typed - length])
                typed -= length
            items.append(Encoding(ids[start:stop], stop - start, its_types))
            start = stop
        yield number, variant, flow, items, reuse, deadline_s, None if isnan(tag_s) else tag_s


Answer = tuple[int, Sequence[InferenceResult]]
"""A request's number, and its results, which all have as many labels."""


def answer_frame(answers: Iterable[Answer]) -> tuple[bytes, list[tuple[int, Exception]]]:
    """Write a frame of answers; return it with the numbers that it lacks, and why."""
    refused: list[tuple[int, Exception]] = []
    heads: list[bytes] = []
    columns: list[array[float]] = []
    for number, results in answers:
        try:
            labels = len(results[0].logits)
            values: list[float] = []
            for each in results:
                tag_s = each.start_tag_s
                values += (each.queue_s, each.engine_s, nan if tag_s is None else tag_s)
                values += each.logits
            if len(values) != len(results) * (_TIMES + labels):
                raise ValueError("the texts of a request have different numbers of labels")
            column = array("d", values)
        except Exception as error:  # noqa: BLE001  one bad answer must not cost the others
            refused.append((number, error))
            continue
        columns.append(column)
        heads.append(_ANSWER.pack(number, len(results), labels))
    return _frame(ANSWERS, _COUNT.pack(len(heads)), *heads, *columns), refused


def read_answers(body: memoryview) -> Iterator[tuple[int, list[InferenceResult]]]:
    """Read the number and the results of each request that a frame answers."""
    (answers,) = _COUNT.unpack_from(body)
    heads_end = _COUNT.size + answers * _ANSWER.size
    column = array("d")
    column.frombytes(body[heads_end:])
    values = column.tolist()
    start = 0
    for number, texts, labels in _ANSWER.iter_unpack(body[_COUNT.size : heads_end]):
        results = []
        for _ in range(texts):
            logits = start + _TIMES
            stop = logits + labels
            queue_s, engine_s, tag_s = values[start:logits]
            results.append(
                InferenceResult(
                    values[logits:stop], queue_s, engine_s, None if isnan(tag_s) else tag_s
                )
            )
            start = stop
        yield number, results
