"""Small requests take cores from larger ones instead of waiting for a slot: simulated."""

import random
from itertools import repeat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.batching.queue import Flow, QueuedText
from serving.batching.scheduler import Scheduler
from serving.inference.cost_model import Lane
from tests.support.preemption import Client, Simulation
from tests.support.virtual_time import KEY

LIGHT, HEAVY, OTHER = Flow("light"), Flow("heavy"), Flow("other")
NOBODY = Flow()
SECONDS = 20
BROWNOUT_S = 0.25


def seconds(texts, length):
    """Of small-int8 on one core: 1.2 ms for 8 tokens, 13 ms for 256."""
    return 8e-4 + texts * length * 4.5e-5 + texts * length**2 * 1e-8


def scheduler(slots, *, preempts=True):
    return Scheduler({KEY: Lane(seconds, 256, packed=True, preempts=preempts)}, slots)


def singles(flow, rate=40, length=8):
    draw = random.Random(0)
    return Client(flow, [length], iter(lambda: draw.expovariate(rate), None))


def larges(flow, texts=256):
    return Client(flow, [256] * texts, repeat(0.0), closed=True)


def answers(slots, **clients):
    return Simulation(scheduler(slots), slots, clients).run(SECONDS)


def p99_s(answers):
    return np.quantile([answer.seconds for answer in answers], 0.99)


NOISES = {
    "of_another": (LIGHT, [larges(HEAVY), larges(HEAVY)]),
    "of_two_others": (LIGHT, [larges(HEAVY), larges(OTHER)]),
    "without_keys": (NOBODY, [larges(NOBODY), larges(NOBODY)]),
    "medium": (LIGHT, [larges(HEAVY, 4), larges(HEAVY, 4), larges(OTHER, 4)]),
    "of_a_more_urgent_one": (LIGHT, [larges(Flow("heavy", 0)), larges(Flow("heavy", 0))]),
}


@pytest.mark.parametrize("rate", [40, 200])
@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("noise", NOISES)
def test_p99_of_single_texts_beside_large_requests_is_within_half_again_of_its_quiet_value(
    noise, slots, rate
):
    flow, heavy = NOISES[noise]
    alone = answers(slots, light=singles(flow, rate))["light"]

    found = answers(
        slots,
        light=singles(flow, rate),
        **{f"heavy {number}": client for number, client in enumerate(heavy)},
    )

    assert p99_s(found["light"]) <= 1.5 * p99_s(alone)
    assert max(answer.brownout_s for answer in found["light"]) < BROWNOUT_S / 10


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_large_requests_lose_no_more_than_the_small_ones_need(slots):
    heavies = {f"heavy {number}": HEAVY for number in range(2 * slots)}

    def texts(**light):
        found = answers(
            slots, **light, **{name: larges(flow, 32) for name, flow in heavies.items()}
        )
        return 32 * sum(len(found[name]) for name in heavies)

    alone, beside = texts(), texts(light=singles(LIGHT, 40))

    lost_s = (alone - beside) * seconds(1, 256)
    assert lost_s <= 1.1 * 40 * SECONDS * seconds(1, 8) + 32 * slots * seconds(1, 256)


REQUESTS = st.lists(
    st.tuples(
        st.sampled_from([LIGHT, HEAVY, Flow("heavy", 5)]),
        st.lists(st.integers(1, 64), min_size=1, max_size=30),
    ),
    min_size=1,
    max_size=15,
)


@given(REQUESTS, st.integers(1, 3), st.booleans(), st.randoms())
def test_plans_start_while_their_kind_has_room_and_every_text_runs_once(
    requests, slots, preempts, draw
):
    queue = scheduler(slots, preempts=preempts)
    added = []
    for flow, lengths in requests:
        added += [texts := [QueuedText(length) for length in lengths]]
        queue.add(KEY, texts, queue.work_of(KEY, lengths, flow)[0])
    running, planned = [], []

    while queue.texts or running:
        while (larger := queue.startable()) is not None:
            assert queue.next_plan(larger=not larger) is None
            running.append(queue.next_plan(larger=larger))
            planned += running[-1].texts
            small = sum(not plan.larger for plan in running)
            assert small <= slots
            assert (preempts and not larger) or len(running) <= slots
        assert running, "nothing runs, and nothing may start"
        ended = running.pop(draw.randrange(len(running)))
        queue.finished(ended, ended.predicted_s)

    assert sorted(map(id, planned)) == sorted(id(text) for texts in added for text in texts)


@given(st.integers(1, 40), st.integers(1, 4))
def test_small_requests_go_ahead_by_no_more_than_one_batch_of_larger_ones(count, slots):
    queue = scheduler(slots)
    for flow in (HEAVY, OTHER):
        texts = [QueuedText(256) for _ in range(64)]
        queue.add(KEY, texts, queue.work_of(KEY, [256] * 64, flow)[0])
    for _ in range(slots):
        assert queue.next_plan(larger=True)
    for _ in range(count):
        queue.add(KEY, [QueuedText(200)], LIGHT)

    ahead_s = 0.0
    while plan := queue.next_plan(larger=False):
        ahead_s += sum(text.share_s for text in plan.texts)
        queue.finished(plan, plan.predicted_s)

    batch_s = 2 * seconds(1, 256)
    assert 0 < ahead_s <= 2 * batch_s + seconds(1, 200)


def test_what_small_requests_take_from_a_running_batch_does_not_count_twice():
    queue = scheduler(2)
    simulation = Simulation(
        queue, 2, {"light": singles(LIGHT, 400), "h1": larges(HEAVY), "h2": larges(HEAVY)}
    )

    simulation.run(SECONDS)

    assert queue.backlog().pace == pytest.approx(1.0, abs=0.1)


class Watched(Scheduler):
    """Notes the pace after each plan."""

    def __init__(self, *lanes_and_slots):
        super().__init__(*lanes_and_slots)
        self.paces = []

    def finished(self, plan, seconds):
        super().finished(plan, seconds)
        self.paces.append(self.backlog().pace)


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_the_pace_follows_the_cores_however_many_small_batches_run_beside_larger_ones(slots):
    queue = Watched({KEY: Lane(seconds, 256, packed=True)}, slots)
    light = Client(LIGHT, [8], repeat(0.0), closed=True)
    heavy = Client(HEAVY, [256] * 4, repeat(1.0))
    clients = {f"light {number}": light for number in range(2 * slots)}
    clients |= {f"heavy {number}": heavy for number in range(slots)}

    Simulation(queue, 0.8 * slots, clients).run(5)

    assert queue.backlog().pace == pytest.approx(1.25, abs=0.01)
    # With several slots, the first to end counts what has slowed down the others too.
    assert 0.7 < min(queue.paces) <= max(queue.paces) < 1.4


def occupied(preempts):
    """A scheduler whose only slot runs a batch of a large request, of which more waits."""
    queue = scheduler(1, preempts=preempts)
    queue.add(KEY, [QueuedText(256) for _ in range(64)], HEAVY.sized(64, 64 * 256, 256))
    plan = queue.next_plan(larger=True)
    return queue, plan


def test_a_small_request_waits_for_a_slot_where_its_engine_runs_no_more_batches():
    queue, running = occupied(preempts=False)

    assert queue.wait_s(KEY, LIGHT) == pytest.approx(running.predicted_s)
    queue.add(KEY, [QueuedText(8)], LIGHT)

    assert queue.startable() is None
    queue.finished(running, running.predicted_s)
    assert queue.startable() is False


def test_small_requests_of_an_engine_that_runs_more_batches_do_not_wait_behind_another_engine():
    queue, _ = occupied(preempts=False)
    other = (*KEY[:2], "other")
    queue.add_lane(other, Lane(seconds, 256, packed=True))
    queue.add(KEY, [QueuedText(8)], LIGHT)

    assert queue.wait_s(other, OTHER) == 0.0
    queue.add(other, [QueuedText(8)], OTHER)

    assert queue.next_plan(larger=False).variant == other
    assert queue.startable() is None
