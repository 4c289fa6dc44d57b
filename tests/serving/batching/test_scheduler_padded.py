"""Padded batches: which queued texts share one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.batching.queue import QueuedText
from serving.batching.scheduler import Scheduler
from serving.inference.cost_model import CostModel, Lane
from tests.support.virtual_time import (
    KEY,
    Scheduled,
    SortedAndSplit,
    closed_loop,
    usual_lengths,
)

# MiniLM in fp32 and int8 on ONNX Runtime and in fp32 on OpenVINO, as warm-up measured them.
SIZES = (4, 16, 64, 256, 1024)
MODELS = {
    "fp32": CostModel(SIZES, (3.97e-3, 5.88e-3, 15.69e-3, 55.1e-3, 219.9e-3), 9.0e-8),
    "int8": CostModel(SIZES, (1.3e-3, 1.9e-3, 5.2e-3, 19e-3, 75e-3), 3.5e-7),
    "openvino": CostModel(SIZES, (2.7e-3, 3.5e-3, 8.2e-3, 27.2e-3, 103.4e-3), 2.5e-7),
}


@pytest.mark.parametrize("clients", [8, 32, 128])
@pytest.mark.parametrize("name", MODELS)
def test_padded_texts_run_faster_than_sorted_and_split_and_none_waits_longer(name, clients):
    seconds, lengths = MODELS[name].seconds, usual_lengths()

    ours = closed_loop(Scheduled(seconds, 2, 256), seconds, lengths, clients=clients)
    sorted_ = closed_loop(SortedAndSplit(), seconds, lengths, clients=clients)

    assert ours.texts_per_s > 1.1 * sorted_.texts_per_s
    assert ours.p99_s < 1.05 * sorted_.p99_s
    assert ours.padding < sorted_.padding / 2


@given(
    st.lists(st.integers(1, 128), min_size=1, max_size=300),
    st.integers(1, 4),
    st.sampled_from(sorted(MODELS)),
)
def test_a_padded_batch_chooses_among_the_oldest_quarter_or_sixteen(lengths, slots, name):
    scheduler = Scheduler({KEY: Lane(MODELS[name].seconds, 256)}, slots)
    queued = [QueuedText(length) for length in lengths]
    scheduler.add(KEY, queued)

    while plan := scheduler.plan():
        oldest = queued[: max(16, len(queued) // 4)]
        assert queued[0] in plan.texts
        assert all(text in oldest for text in plan.texts)
        queued = [text for text in queued if text not in plan.texts]


def test_a_long_queue_does_not_make_a_plan_longer_to_choose():
    scheduler = Scheduler({KEY: Lane(MODELS["int8"].seconds, 256)}, slots=2)
    queued = [QueuedText(length) for length in usual_lengths()]
    scheduler.add(KEY, queued)

    assert all(text in queued[:128] for text in scheduler.plan().texts)


def test_of_equally_long_texts_a_padded_batch_takes_the_oldest():
    scheduler = Scheduler({KEY: Lane(MODELS["fp32"].seconds, 64)}, slots=1)
    queued = [QueuedText(length) for length in (16, *[12] * 9)]
    scheduler.add(KEY, queued)

    assert set(scheduler.plan().texts) == set(queued[:4])


def test_a_longer_neighbour_is_taken_only_if_the_padding_of_the_others_pays():
    scheduler = Scheduler({KEY: Lane(MODELS["int8"].seconds, 256)}, slots=1)
    scheduler.add(KEY, [QueuedText(length) for length in (10, 100, 11, 12)])

    assert [text.length for text in scheduler.plan().texts] == [10, 11, 12]
    assert [text.length for text in scheduler.plan().texts] == [100]
