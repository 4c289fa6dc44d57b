import math

from hypothesis import given
from hypothesis import strategies as st

from serving.batching.queue import ONLY_FLOW, Flow, QueuedText
from serving.batching.scheduler import Scheduler
from serving.inference.cost_model import Lane

A, B = ("family", "a"), ("family", "b")
SHORT_AND_LONG = st.one_of(st.integers(1, 40), st.integers(100, 512))


def linear(texts, length):
    return 1e-3 + texts * length * 1e-4


def scheduler(slots=2, max_batch_tokens=128, variants=(A, B)):
    return Scheduler(dict.fromkeys(variants, Lane(linear, max_batch_tokens)), slots)


def predicted_s(scheduler, variant, lengths, flow=ONLY_FLOW):
    flow, slot_s, work_s = scheduler.work_of(variant, lengths, flow)
    return scheduler.wait_s(variant, flow, slot_s) + work_s


class Text(QueuedText):
    def __init__(self, length, owner=None):
        super().__init__(length)
        self.owner = owner


def add(scheduler, variant, length, owner=None, flow=ONLY_FLOW, start_tag_s=None):  # noqa: PLR0917
    text = Text(length, owner)
    scheduler.add(variant, [text], flow, start_tag_s)
    return text


def drain(scheduler):
    plans = []
    while plan := scheduler.plan():
        plans.append(plan)
    return plans


@given(
    st.lists(st.tuples(st.sampled_from([A, B]), SHORT_AND_LONG), max_size=60),
    st.integers(1, 4),
    st.integers(16, 1024),
)
def test_every_text_is_planned_exactly_once_within_the_token_budget(arrivals, slots, budget):
    queue = scheduler(slots, budget)
    added = [add(queue, variant, length, index) for index, (variant, length) in enumerate(arrivals)]

    plans = drain(queue)

    assert sorted(t.owner for p in plans for t in p.texts) == [t.owner for t in added]
    for plan in plans:
        assert {text.variant for text in plan.texts} == {plan.variant}
        assert len(plan.texts) == 1 or plan.cells <= budget
    assert not any(map(queue.queued_texts, (A, B)))


@given(st.lists(st.tuples(st.sampled_from([A, B]), SHORT_AND_LONG), min_size=1, max_size=60))
def test_every_plan_serves_the_text_that_has_waited_longest(arrivals):
    queue = scheduler()
    waiting = [add(queue, variant, length, None) for variant, length in arrivals]

    while plan := queue.plan():
        assert waiting[0] in plan.texts
        waiting = [text for text in waiting if text not in plan.texts]


@given(st.lists(SHORT_AND_LONG, min_size=1, max_size=60), st.integers(1, 8))
def test_a_plan_takes_at_most_its_fair_share_of_what_is_outstanding(lengths, slots):
    queue = scheduler(slots, max_batch_tokens=100_000)
    for length in lengths:
        add(queue, A, length, None)

    for plan in drain(queue):
        assert len(plan.texts) <= math.ceil(len(lengths) / slots)


@given(st.lists(SHORT_AND_LONG, min_size=1, max_size=40), st.integers(16, 1024))
def test_a_batch_is_never_predicted_slower_than_its_texts_one_by_one(lengths, budget):
    queue = scheduler(slots=1, max_batch_tokens=budget)
    for length in lengths:
        add(queue, A, length, None)

    for plan in drain(queue):
        alone_s = sum(linear(1, text.length) for text in plan.texts)
        assert plan.predicted_s <= alone_s + 1e-12


@given(st.lists(SHORT_AND_LONG, min_size=2, max_size=40), st.data())
def test_a_removed_text_is_never_planned_and_leaves_the_others(lengths, data):
    queue = scheduler()
    waiting = [add(queue, A, length, None) for length in lengths]
    gone = data.draw(st.sampled_from(waiting))

    assert queue.remove(gone)
    assert not queue.remove(gone)

    planned = [text for plan in drain(queue) for text in plan.texts]
    assert set(planned) == {*waiting} - {gone}
    assert len(planned) == len(waiting) - 1


def test_texts_of_like_length_share_a_batch_and_the_long_one_runs_alone():
    queue = scheduler(slots=1, max_batch_tokens=256)
    for length in (10, 200, 11, 10, 12):
        add(queue, A, length, None)

    assert [[t.length for t in plan.texts] for plan in drain(queue)] == [[10, 10, 11, 12], [200]]


def test_the_backlog_returns_to_nothing_when_all_plans_have_finished():
    queue = scheduler()
    for length in (5, 50, 500):
        add(queue, A, length, None)
    assert queue.backlog().total_s > 0

    plans = drain(queue)
    assert queue.backlog().total_s > 0
    for plan in plans:
        queue.finished(plan, plan.predicted_s)

    assert queue.backlog().total_s < 1e-9


def test_a_text_behind_a_longer_queue_is_predicted_to_finish_later():
    queue = scheduler()
    before_s = predicted_s(queue, A, [20])
    add(queue, B, 500, None)

    assert predicted_s(queue, A, [20]) > before_s
    assert before_s >= linear(1, 20)


@given(st.floats(0.25, 4.0))
def test_predictions_follow_how_long_plans_really_take(pace):
    queue = scheduler()
    before_s = predicted_s(queue, A, [20])
    for _ in range(200):
        add(queue, A, 20, None)
        plan = queue.plan()
        queue.finished(plan, pace * plan.predicted_s)

    assert math.isclose(predicted_s(queue, A, [20]), pace * before_s, rel_tol=1e-3)


@given(st.lists(SHORT_AND_LONG, min_size=1, max_size=60), st.integers(1, 4), st.integers(16, 1024))
def test_packed_texts_run_in_the_order_of_their_arrival(lengths, slots, budget):
    queue = Scheduler({A: Lane(linear, budget, packed=True)}, slots)
    for length in lengths:
        add(queue, A, length, None)

    plans = drain(queue)

    assert [text.length for plan in plans for text in plan.texts] == lengths
    for plan in plans:
        tokens = sum(text.length for text in plan.texts)
        assert len(plan.texts) == 1 or tokens <= budget
        assert len(plan.texts) <= math.ceil(len(lengths) / slots)
        assert plan.cells >= tokens


FLOWS = st.builds(Flow, st.sampled_from(["", "search", "nightly"]), st.integers(0, 7), st.just(0))


@given(
    st.lists(FLOWS, min_size=2, max_size=4, unique=True),
    st.lists(st.integers(1, 60), min_size=40, max_size=80),
    st.integers(1, 30),
)
def test_flows_that_wait_are_served_by_their_weights(flows, lengths, plans):
    queue = scheduler(slots=1, max_batch_tokens=1)  # one text a plan
    for length in lengths:
        for flow in flows:
            add(queue, A, length, flow, flow)
    served_s = dict.fromkeys(flows, 0.0)

    for _ in range(plans):
        for text in queue.plan().texts:
            served_s[text.owner] += linear(1, text.length)

    most_s = linear(1, max(lengths))
    for one in flows:
        for other in flows:
            if not all(queue.queued_texts(A, each) for each in (one, other)):
                continue
            # Goyal, Vin and Cheng 1996, theorem 1.
            apart_s = abs(served_s[one] / one.weight - served_s[other] / other.weight)
            assert apart_s <= most_s / one.weight + most_s / other.weight + 1e-9


@given(st.lists(st.tuples(FLOWS, SHORT_AND_LONG), min_size=1, max_size=60), st.booleans())
def test_whatever_the_flows_every_text_runs_once_and_a_flow_in_order(arrivals, packed):
    queue = Scheduler({A: Lane(linear, 256, packed=packed)}, 2)
    added = [add(queue, A, length, None, flow) for flow, length in arrivals]

    planned = [text for plan in drain(queue) for text in plan.texts]

    assert sorted(text.order[1] for text in planned) == [text.order[1] for text in added]
    if packed:
        for flow in {flow for flow, _ in arrivals}:
            own = [text.order[1] for text in planned if text.flow == flow]
            assert own == sorted(own)
    assert queue.backlog().total_s >= 0


@given(st.integers(1, 500), st.integers(0, 200))
def test_one_text_does_not_wait_for_another_callers_backlog(backlog, served):
    queue = scheduler(slots=1, max_batch_tokens=1)
    for _ in range(backlog):
        add(queue, A, 20, "nightly", Flow("nightly"))
    for _ in range(min(served, backlog)):
        plan = queue.plan()
        queue.finished(plan, plan.predicted_s)
    expected_s = queue.wait_s(A, Flow("search"), linear(1, 20))

    add(queue, A, 20, "search", Flow("search"))

    owners = [
        queue.plan().texts[0].owner for _ in range(min(2, 1 + backlog - min(served, backlog)))
    ]
    assert "search" in owners
    assert expected_s <= 2 * linear(1, 20) + 1e-9


def test_a_background_text_that_an_urgent_caller_wants_too_is_hastened():
    queue = scheduler(slots=1, max_batch_tokens=1)
    background, urgent = Flow("nightly", 7), Flow("search", 1)
    texts = [add(queue, A, 20, index, background) for index in range(10)]

    queue.expedite(texts[9], urgent)
    assert texts[9].flow == urgent

    assert [plan.texts[0].owner for plan in drain(queue)] == [0, 9, *range(1, 9)]
    queue.expedite(texts[9], background)
    assert (texts[9].flow, texts[9].queued, queue.texts) == (urgent, False, 0)


@given(
    st.lists(st.tuples(st.sampled_from([A, B]), SHORT_AND_LONG), min_size=2, max_size=40),
    st.data(),
)
def test_a_text_that_comes_from_another_queue_keeps_its_turn(arrivals, data):
    queue = scheduler(slots=1, max_batch_tokens=1)
    waiting = [add(queue, variant, length, None) for variant, length in arrivals]
    handed_on = data.draw(st.sampled_from(waiting))
    later = waiting[waiting.index(handed_on) + 1 :]
    queue.remove(handed_on)

    other = B if handed_on.variant == A else A
    again = add(queue, other, handed_on.length, None, start_tag_s=handed_on.order[0])

    order = [text for plan in drain(queue) for text in plan.texts]
    assert all(order.index(again) < order.index(text) for text in later)


def test_what_a_flow_waits_is_told_by_flow():
    queue = scheduler(slots=1)
    bulk, lone = Flow("bulk"), Flow("lone")
    for _ in range(50):
        add(queue, A, 100, None, bulk)
    add(queue, A, 100, None, lone)

    backlog = queue.backlog()

    assert 0 < backlog.wait_s(lone) < backlog.wait_s(bulk) / 10
    assert backlog.wait_s(Flow("new")) == 0
