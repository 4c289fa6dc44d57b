import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.batching.interface import InferenceResult
from serving.batching.queue import Terms
from serving.inference.inputs import Encoding
from serving.runtime.frames import (
    ANSWERS,
    MESSAGE,
    REQUESTS,
    WITHDRAWALS,
    FrameReader,
    RequestFrame,
    answer_frame,
    message,
    read_answers,
    read_requests,
    read_withdrawals,
    withdrawals,
)

NUMBERS = st.integers(0, 2**64 - 1)
SECONDS = st.floats(allow_nan=False)
IDS = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=40)


@st.composite
def encodings(draw):
    ids = draw(IDS)
    size = len(ids)
    segments = st.lists(st.integers(0, 1), min_size=size, max_size=size)
    return Encoding(ids, size, draw(st.none() | segments))


TERMS = st.builds(
    Terms, SECONDS, reuse=st.booleans(), start_tag_s=st.none() | st.floats(0, allow_nan=False)
)
REQUEST = st.tuples(
    NUMBERS,
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.lists(encodings(), min_size=1, max_size=5),
    TERMS,
)
LOGIT = st.floats(width=32) | st.floats()


@st.composite
def answers(draw):
    labels = draw(st.integers(1, 4))
    logits = st.lists(LOGIT, min_size=labels, max_size=labels)
    result = st.builds(InferenceResult, logits, SECONDS, SECONDS, st.none() | SECONDS)
    return draw(NUMBERS), draw(st.lists(result, min_size=1, max_size=4))


def frames(data, cuts=()):
    """What a reader makes of bytes that arrive in pieces."""
    reader = FrameReader()
    edges = [0, *sorted(cuts), len(data)]
    return [
        (kind, bytes(body))
        for start, stop in pairwise(edges)
        for kind, body in reader.feed(data[start:stop])
    ]


def only_body(data, expected_kind):
    ((kind, body),) = frames(data)
    assert kind == expected_kind
    return memoryview(body)


def exact(values):
    """Equal for the same bits only, whatever is not a number."""
    return struct.pack(f"{len(values)}d", *values)


@given(st.lists(REQUEST, min_size=1, max_size=6))
def test_requests_come_back_as_they_were(requests):
    frame = RequestFrame()
    for number, variant, flow, items, terms in requests:
        frame.add(number, variant, flow, items, terms)
    read = list(read_requests(only_body(frame.take(), REQUESTS)))

    assert frame.take() == b""
    assert len(read) == len(requests)
    for (number, variant, flow, items, terms), found in zip(requests, read, strict=True):
        assert found[:3] == (number, variant, flow)
        assert found[4:] == (terms.reuse, terms.deadline_s, terms.start_tag_s)
        for item, its in zip(items, found[3], strict=True):
            assert list(its.ids) == item.ids
            assert (its.length, its.types or None) == (item.length, item.types)
            assert its.key() == item.key()
            assert np.array_equal(np.asarray(its.ids), item.ids)


@given(st.lists(answers(), min_size=1, max_size=6))
def test_answers_come_back_to_the_last_bit(given_answers):
    data, refused = answer_frame(given_answers)
    read = list(read_answers(only_body(data, ANSWERS)))

    assert refused == []
    assert [number for number, _ in read] == [number for number, _ in given_answers]
    for (_, found), (_, results) in zip(read, given_answers, strict=True):
        for its, result in zip(found, results, strict=True):
            assert exact(its.logits) == exact(result.logits)
            assert (its.queue_s, its.engine_s) == (result.queue_s, result.engine_s)
            assert its.start_tag_s == result.start_tag_s


@pytest.mark.parametrize(
    "bad",
    [
        [InferenceResult(["1"], 0.0, 0.0)],
        [InferenceResult([1.0], 0.0, 0.0), InferenceResult([1.0, 2.0], 0.0, 0.0)],
        [],
    ],
)
def test_an_answer_that_cannot_be_written_costs_no_other_one(bad):
    good = [InferenceResult([0.5], 1.0, 2.0)]

    data, ((number, error),) = answer_frame([(1, good), (2, bad), (3, good)])

    assert [each for each, _ in read_answers(only_body(data, ANSWERS))] == [1, 3]
    assert number == 2
    assert isinstance(error, Exception)


@pytest.mark.parametrize("bad", [Encoding([2**31], 1), Encoding([1, None], 2)])
def test_a_request_that_cannot_be_written_costs_no_other_one(bad):
    frame, good, terms = RequestFrame(), Encoding([1, 2], 2, [0, 1]), Terms(1.0)
    frame.add(1, 0, 0, [good], terms)
    with pytest.raises(struct.error):
        frame.add(2, 0, 0, [good, bad], terms)
    frame.add(3, 0, 0, [good], terms)

    read = list(read_requests(only_body(frame.take(), REQUESTS)))

    assert [(number, list(items[0].ids), items[0].types) for number, _, _, items, *_ in read] == [
        (1, [1, 2], [0, 1]),
        (3, [1, 2], [0, 1]),
    ]


@given(st.lists(NUMBERS, min_size=1))
def test_withdrawals_come_back(numbers):
    assert list(read_withdrawals(only_body(withdrawals(numbers), WITHDRAWALS))) == numbers


@given(st.data())
def test_frames_are_the_same_however_the_stream_is_cut(data):
    sent = data.draw(st.lists(st.binary(max_size=30).map(message) | NUMBERS.map(
        lambda number: withdrawals([number])
    ), max_size=6))  # fmt: skip
    stream = b"".join(sent)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10))

    found = frames(stream, cuts)

    assert found == [each for one in sent for each in frames(one)]
    assert len(found) == len(sent)
    assert {kind for kind, _ in found} <= {MESSAGE, WITHDRAWALS}


def test_frames_arrive_when_every_byte_arrives_alone():
    stream = message("kind", 1) + withdrawals([7]) + message("other")
    assert frames(stream, range(1, len(stream))) == frames(stream)
