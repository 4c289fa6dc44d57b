"""Small, medium and large requests of one caller: none goes wholly ahead of a smaller one."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.batching.queue import ONLY_FLOW, Backlog, Flow, QueuedText, start_s
from serving.batching.scheduler import Scheduler
from serving.inference.cost_model import Lane

A = ("family", "a", "0")
BUDGET = 64
SMALL, MEDIUM, LARGE = ONLY_FLOW.all_sizes()


def linear(texts, length):
    return 1e-3 + texts * length * 1e-4


def scheduler(slots=1, budget=BUDGET, *, packed=True, seconds=linear):
    return Scheduler({A: Lane(seconds, budget, packed)}, slots)


def request(queue, lengths, flow=ONLY_FLOW):
    """Queue a request; its texts."""
    texts = [QueuedText(length) for length in lengths]
    queue.add(A, texts, queue.work_of(A, lengths, flow)[0])
    return texts


def plans(queue):
    while plan := queue.plan():
        queue.finished(plan, plan.predicted_s)
        yield plan


@given(st.integers(1, 300), st.integers(1, 512), st.integers(16, 1024))
def test_a_request_is_small_if_it_fits_a_full_batch_and_medium_if_it_fits_eight(
    count, length, budget
):
    flow, slot_s, _ = scheduler(budget=budget).work_of(A, [length] * count, ONLY_FLOW)

    batches = count * length / budget
    assert flow.size == (0 if count == 1 or batches <= 1 else 1 if batches <= 8 else 2)
    assert math.isclose(slot_s, count * Lane(linear, budget).share_s(length))


REQUESTS = st.lists(st.lists(st.integers(1, 64), min_size=1, max_size=40), min_size=1, max_size=12)


@given(REQUESTS, st.integers(1, 3), st.booleans())
def test_every_text_runs_once_and_a_packed_request_in_order(requests, slots, packed):
    queue = scheduler(slots, packed=packed)
    added = [request(queue, lengths) for lengths in requests]

    planned = [text for plan in plans(queue) for text in plan.texts]

    assert sorted(map(id, planned)) == sorted(id(text) for texts in added for text in texts)
    assert (queue.texts, queue.plan()) == (0, None)
    if packed:
        place = {id(text): at for at, text in enumerate(planned)}
        for texts in added:
            assert [place[id(text)] for text in texts] == sorted(place[id(t)] for t in texts)


@given(REQUESTS, st.booleans())
def test_a_batch_holds_no_text_of_a_larger_request_and_a_large_one_is_short(requests, packed):
    queue = scheduler(packed=packed, budget=256)
    for lengths in requests:
        request(queue, lengths)

    for plan in plans(queue):
        first = min(plan.texts, key=lambda text: text.order)
        assert all(text.flow.size <= first.flow.size for text in plan.texts)
        if first.flow.size and len(plan.texts) > 1:
            batch_s = sum(text.share_s for text in plan.texts) if packed else plan.predicted_s
            most_s = max(0.02, 2 * linear(1, first.length))
            assert batch_s <= most_s + 1e-9


@given(st.integers(65, 300), st.integers(0, 40))
def test_a_small_request_waits_for_one_batch_of_a_large_one(texts, served):
    queue = scheduler()
    request(queue, [8] * texts)
    for _ in range(served):
        if (plan := queue.plan()) is None:
            return
        queue.finished(plan, plan.predicted_s)
    expected_s = queue.wait_s(A, SMALL, linear(1, 8))

    (small,) = request(queue, [8])

    waited = list(zip(range(2), plans(queue), strict=False))
    assert any(small in plan.texts for _, plan in waited)
    assert expected_s <= 2 * linear(1, 8)


@given(st.lists(st.integers(1, 8), min_size=80, max_size=80), st.integers(1, 60))
def test_sizes_that_wait_share_the_slots_so_neither_starves(lengths, count):
    """Goyal, Vin and Cheng 1996, theorem 1, and the rest of a batch."""
    queue = scheduler(budget=16)
    request(queue, lengths)
    small = {id(text) for length in lengths for text in request(queue, [length])}
    served_s = [0.0, 0.0]
    most_s = 0.0

    for _, plan in zip(range(count), plans(queue), strict=False):
        for text in plan.texts:
            served_s[id(text) in small] += text.share_s
            most_s = max(most_s, text.share_s)
        if not all(queue.queued_texts(A, flow) for flow in (SMALL, LARGE)):
            return
        most_batch_s = max(0.02, linear(1, 16)) * 2
        assert abs(served_s[0] - served_s[1]) <= 2 * most_s + most_batch_s


def test_a_caller_with_all_sizes_gets_at_most_two_and_a_half_shares_beside_another():
    queue = scheduler(budget=16)
    other = Flow("other")
    for _ in range(400):
        request(queue, [8], other)
    for _ in range(4):
        request(queue, [8] * 100)
        request(queue, [8] * 12)
        for _ in range(100):
            request(queue, [8])
    served = dict.fromkeys(("", "other"), 0)

    for plan in plans(queue):
        for text in plan.texts:
            served[text.flow.caller] += 1
        if served["other"] >= 100:
            break

    assert served[""] <= 2.5 * served["other"]


def test_a_large_request_is_served_while_small_ones_never_stop():
    queue = scheduler()
    large = request(queue, [8] * 100)
    for _ in range(100):
        request(queue, [8])

    for _, plan in zip(range(100), plans(queue), strict=False):
        for _ in plan.texts:
            request(queue, [8])

    assert not any(text.queued for text in large)


@given(st.lists(st.floats(0, 10), max_size=8), st.floats(0, 100), st.integers(0, 8))
def test_queued_work_has_started_when_the_free_slots_have_taken_it(running_s, before_s, idle):
    slots = len(running_s) + idle
    if not slots:
        return
    start = start_s(before_s, running_s, slots)

    ends_s = running_s + [0.0] * idle
    taken_s = sum(max(0.0, start - end_s) for end_s in ends_s)
    assert math.isclose(taken_s, before_s, rel_tol=1e-6, abs_tol=1e-9)
    assert start >= min(ends_s) - 1e-9


@given(st.lists(st.floats(0, 10), min_size=1, max_size=4))
def test_running_batches_alone_never_make_a_caller_wait_in_the_queue(running_s):
    backlog = Backlog({LARGE: 1e3}, tuple(running_s), len(running_s))

    assert backlog.queue_wait_s(SMALL) == 0
    assert backlog.wait_s(SMALL) == min(running_s)
    assert backlog.queue_wait_s(LARGE) > 0


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("count", [12, 40])
def test_the_predicted_wait_of_a_medium_request_counts_the_weight_that_its_callers_sizes_share(
    slots, count
):
    queue = scheduler(slots, budget=256)
    for flow in (ONLY_FLOW, Flow("other")):
        for _ in range(2000):
            request(queue, [16], flow)
    lengths = [48] * count
    flow, slot_s, _ = queue.work_of(A, lengths, ONLY_FLOW)
    predicted_s = queue.wait_s(A, flow, slot_s)
    texts = request(queue, lengths)

    planned_s = 0.0
    while any(text.queued for text in texts):
        plan = queue.plan()
        planned_s += plan.predicted_s
        queue.finished(plan, plan.predicted_s)

    assert flow == MEDIUM
    assert predicted_s == pytest.approx((planned_s - slot_s) / slots, rel=0.25)


@given(st.lists(st.floats(1e-3, 10), min_size=1, max_size=3), st.floats(0, 10))
def test_running_batches_of_larger_requests_delay_only_requests_like_them(larger_s, queued_s):
    backlog = Backlog({SMALL: queued_s}, (), len(larger_s), larger_s=larger_s)

    assert backlog.wait_s(SMALL) == queued_s / len(larger_s)
    assert backlog.wait_s(LARGE) == min(larger_s)


def test_texts_of_a_large_request_that_were_queued_before_hold_up_no_small_one():
    queue = scheduler()
    tag_s = request(queue, [8])[0].order[0]
    list(plans(queue))
    texts = [QueuedText(8) for _ in range(100)]
    queue.add(A, texts, LARGE, tag_s)
    request(queue, [8] * 100)
    first = queue.plan()
    queue.finished(first, first.predicted_s)

    (small,) = request(queue, [8])

    assert first.texts[0] is texts[0]
    assert small in queue.plan().texts


def test_the_queue_of_large_requests_takes_no_room_from_small_ones():
    queue = scheduler()
    request(queue, [8] * 200)
    request(queue, [8])

    assert [queue.queued_texts(A, flow) for flow in (SMALL, MEDIUM, LARGE)] == [1, 1, 201]


@pytest.mark.parametrize("slots", [1, 2])
def test_single_texts_beside_two_large_requests_wait_as_long_as_a_long_text_runs(slots):
    """Simulated: 2 clients send 256 long texts again and again, one caller single short ones."""
    draw = random.Random(0)

    def seconds(texts, length):
        return 1e-3 + texts * length * 6e-5 + texts * length**2 * 3.5e-8

    queue = scheduler(slots, 256, seconds=seconds)
    now_s, arrives_s, waits_s = 0.0, 0.0, []
    running, waiting, lights = [], {}, 0
    for _ in range(2):
        request(queue, [256] * 256)
    while lights < 2000:
        while len(running) < slots and (plan := queue.plan()):
            running.append((now_s + plan.predicted_s, plan))
            waits_s += [now_s - waiting.pop(id(t))[0] for t in plan.texts if id(t) in waiting]
        if queue.texts < 256:
            request(queue, [256] * 256)
        end_s, plan = min(running, key=lambda run: run[0])
        if arrives_s < end_s:
            now_s = arrives_s
            (text,) = request(queue, [8])
            waiting[id(text)] = (now_s, text)
            lights += 1
            arrives_s += draw.expovariate(40)
        else:
            now_s = end_s
            running.remove((end_s, plan))
            queue.finished(plan, plan.predicted_s)

    waits_s.sort()
    assert waits_s[int(0.99 * len(waits_s))] <= 1.1 * seconds(1, 256)
