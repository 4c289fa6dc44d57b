"""Admission, without a clock or an engine: room, deadline and Retry-After."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.batching.admission import check_ready, check_requests, check_texts
from serving.batching.queue import ONLY_FLOW, Backlog, Flow, QueuedText, Terms
from serving.batching.scheduler import Scheduler
from serving.errors import DeadlineMissed, Draining, NotReady, Overloaded, retry_after_s
from serving.inference.cost_model import Lane

KEY = ("family", "variant", "0" * 16)
SEARCH, NIGHTLY = Flow("search"), Flow("nightly", 7)
LENGTHS = st.lists(st.integers(1, 64), min_size=1, max_size=8)


def scheduler_with(queued, flow=ONLY_FLOW, slots=1, text_s=1.0):
    """A scheduler over a lane whose every text takes `text_s`, with these lengths queued."""
    scheduler = Scheduler({KEY: Lane(lambda texts, _length: texts * text_s, 256)}, slots)
    for length in queued:
        scheduler.add(KEY, [QueuedText(length)], flow)
    return scheduler


def refusal_of(scheduler, lengths, left_s, *, max_queue_texts=1000, **terms):
    """The error that refuses a request with this much time left, or None."""
    now_s = 100.0
    try:
        check_texts(
            scheduler,
            KEY,
            lengths,
            Terms(now_s + left_s, **terms),
            now_s,
            max_queue_texts=max_queue_texts,
        )
    except (Overloaded, DeadlineMissed) as error:
        return error
    return None


# Never equal to a prediction, and exact in binary.
LEFT_S = st.integers(0, 160).map(lambda quarters: quarters / 4 + 0.125)


@given(LENGTHS | st.just([]), LENGTHS, st.sampled_from([1, 2, 4]), LEFT_S, st.integers(1, 12))
def test_texts_are_admitted_exactly_when_they_have_room_and_time(
    queued, lengths, slots, left_s, max_queue_texts
):
    scheduler = scheduler_with(queued, slots=slots)
    flow, slot_s, work_s = scheduler.work_of(KEY, lengths, ONLY_FLOW)
    wait_s = scheduler.wait_s(KEY, flow, slot_s)

    refused = refusal_of(scheduler, lengths, left_s, max_queue_texts=max_queue_texts)

    if len(queued) + len(lengths) > max_queue_texts:
        assert (type(refused), refused.field) == (Overloaded, "texts")
        assert (refused.limit, refused.value) == (max_queue_texts, len(queued) + len(lengths))
    elif work_s > left_s:
        assert (type(refused), refused.retry_after_s) == (DeadlineMissed, None)
    elif wait_s + work_s > left_s:
        assert (type(refused), refused.field) == (Overloaded, "deadline_ms")
    else:
        assert refused is None


@given(LENGTHS, LENGTHS, st.floats(8.01, 40))
def test_after_retry_after_the_same_request_has_time(queued, lengths, left_s):
    """The queue has by then shrunk by what was predicted, if nothing more has arrived."""
    scheduler = scheduler_with(queued * 4)
    refused = refusal_of(scheduler, lengths, left_s)
    if refused is None:
        return

    flow, slot_s, work_s = scheduler.work_of(KEY, lengths, ONLY_FLOW)
    predicted_s = scheduler.wait_s(KEY, flow, slot_s) + work_s
    assert predicted_s - refused.retry_after_s <= left_s
    assert refused.retry_after_s - 1 <= predicted_s - left_s


def test_a_full_queue_says_how_long_until_it_is_empty():
    refused = refusal_of(scheduler_with([4] * 3), [4, 4], 60, max_queue_texts=4)

    assert refused.detail == (
        "queue for family/variant is full (3 waiting, limit 4); retry after the Retry-After delay"
    )
    assert refused.retry_after_s == 4


def test_a_deadline_that_an_idle_server_would_miss_has_no_retry_after():
    refused = refusal_of(scheduler_with([]), [4, 4, 4], 2)

    assert isinstance(refused, DeadlineMissed)
    assert (refused.limit, refused.value, refused.retry_after_s) == (2000, 3000, None)


def test_a_full_queue_of_one_flow_does_not_refuse_another():
    scheduler = scheduler_with([4] * 20, flow=NIGHTLY)

    assert refusal_of(scheduler, [4], 5, max_queue_texts=20, flow=NIGHTLY).field == "texts"
    assert refusal_of(scheduler, [4], 5, max_queue_texts=20, flow=SEARCH) is None


def test_texts_that_were_queued_before_wait_for_nothing_that_came_later():
    scheduler = scheduler_with([4] * 20)

    assert refusal_of(scheduler, [4], 2).field == "deadline_ms"
    assert refusal_of(scheduler, [4], 2, start_tag_s=0.0) is None


@given(st.integers(0, 9), st.integers(1, 9), st.floats(0, 1000))
def test_a_request_has_room_below_the_limit_and_else_hears_how_long_the_backlog_is(
    requests, limit, running_s
):
    def backlog():
        assert requests >= limit, "the backlog is read for a refusal only"
        return Backlog(running_s=(running_s,))

    if requests < limit:
        check_requests(requests, limit, backlog)
        return
    with pytest.raises(Overloaded) as refused:
        check_requests(requests, limit, backlog)
    assert (refused.value.limit, refused.value.value) == (limit, requests)
    assert refused.value.retry_after_s == retry_after_s(running_s)


@given(st.floats(0, 1e6))
def test_retry_after_is_whole_seconds_at_least_one_and_never_too_early(wait_s):
    rounded = retry_after_s(wait_s)

    assert rounded >= 1
    assert wait_s < rounded <= wait_s + 1


def test_a_draining_server_says_so_even_if_an_engine_has_died():
    with pytest.raises(Draining) as draining:
        check_ready("an engine thread has died", draining=True, starting=False)
    with pytest.raises(NotReady, match="an engine thread has died") as dead:
        check_ready("an engine thread has died", draining=False, starting=False)

    check_ready("", draining=False, starting=True)
    assert (draining.value.retry_after_s, dead.value.retry_after_s) == (None, 1)


@pytest.mark.parametrize("lengths", [[4], [64] * 5])
def test_a_full_queue_says_how_long_it_lasts_and_not_what_others_have_queued(lengths):
    scheduler = scheduler_with([4] * 6, SEARCH)
    others = [QueuedText(64) for _ in range(256)]
    scheduler.add(KEY, others, scheduler.work_of(KEY, [64] * 256, NIGHTLY)[0])

    refused = refusal_of(scheduler, lengths, 60, max_queue_texts=6, flow=SEARCH)

    ended_s = 0.0
    while scheduler.queued_texts(KEY, SEARCH):
        ended_s += scheduler.plan().predicted_s
    assert ended_s < 10
    assert refused.retry_after_s == pytest.approx(ended_s, abs=2)
