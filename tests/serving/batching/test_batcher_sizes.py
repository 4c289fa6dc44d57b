"""Requests of several sizes beside each other, on a real batcher."""

import asyncio
import os
import sys
import threading

import pytest

from serving.errors import DeadlineMissed, Overloaded
from tests.support.batchers import encoding, make, queued, running, submit, terms, wait_until
from tests.support.faults import EchoEngine, StuckEngine

MANY = [encoding(first, 64) for first in range(256)]


class HoldsLong(StuckEngine):
    """Holds only batches of long texts; notes the nice value of the thread of each batch."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.nice = {}

    def run(self, batch):
        thread = threading.get_native_id()
        self.nice[batch[0].length] = os.getpriority(os.PRIO_PROCESS, thread)
        return super().run(batch) if batch[0].length == 64 else EchoEngine.run(self, batch)


async def stopped(batcher, engine, *tasks):
    engine.release.set()
    await asyncio.gather(*tasks)
    batcher.close()


@pytest.mark.parametrize("slots", [1, 2, 3])
async def test_small_requests_are_answered_while_every_slot_runs_a_large_one(slots):
    engine = HoldsLong(slots=slots)
    batcher, _ = make(engine)
    large = asyncio.create_task(submit(batcher, MANY, terms()))
    await wait_until(lambda: engine.held == slots)

    answered = [await submit(batcher, [encoding(first)], terms()) for first in range(300, 310)]

    assert [each[0].logits[0] for each in answered] == [*range(300, 310)]
    assert (engine.held, large.done()) == (slots, False)
    await stopped(batcher, engine, large)


async def test_a_large_request_runs_in_every_slot_once_the_small_ones_have_ended():
    engine = HoldsLong(slots=2)
    batcher, _ = make(engine)
    small = [asyncio.create_task(submit(batcher, [encoding(9)], terms())) for _ in range(9)]
    large = asyncio.create_task(submit(batcher, MANY, terms()))

    await asyncio.wait_for(asyncio.gather(*small), 30)
    await wait_until(lambda: engine.held == 2)

    await stopped(batcher, engine, large)


async def test_a_small_request_is_refused_where_it_would_wait_too_long_for_a_larger_one():
    engine = HoldsLong(slots=2)
    batcher, _ = make(engine, preempts=False, seconds=lambda texts, length: 1e-3 * texts * length)
    large = await queued(batcher, range(64), terms(), length=64)
    await wait_until(lambda: engine.held == 2)

    with pytest.raises(Overloaded, match="ahead of it"):
        await submit(batcher, [encoding(7)], terms(within_s=0.05))

    await stopped(batcher, engine, large)


async def test_a_small_request_that_waits_for_a_hung_larger_one_expires():
    engine = HoldsLong(slots=2)
    batcher, _ = make(engine, preempts=False)
    large = await queued(batcher, range(64), terms(), length=64)
    await wait_until(lambda: engine.held == 2)

    with pytest.raises(DeadlineMissed):
        await submit(batcher, [encoding(7)], terms(within_s=0.1))

    assert engine.batches == []
    await stopped(batcher, engine, large)


async def test_a_small_request_starts_once_the_larger_one_that_was_next_has_left():
    engine = HoldsLong(slots=1)
    batcher, _ = make(engine, seconds=lambda texts, length: 1e-3 * texts * length)
    large = await queued(batcher, range(64), terms(), length=64)
    await wait_until(lambda: engine.held == 1)
    for first in range(100, 105):  # as many as may go ahead
        await submit(batcher, [encoding(first, 63)], terms())
    small = asyncio.create_task(submit(batcher, [encoding(105, 63)], terms()))
    await asyncio.sleep(0.05)
    assert not small.done()

    large.cancel()

    await wait_until(small.done)
    assert (await small)[0].logits[0] == 105
    assert engine.held == 1
    await stopped(batcher, engine)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a nice value for each thread")
async def test_batches_of_large_requests_leave_the_cores_to_others():
    engine = HoldsLong(slots=1)
    batcher, _ = make(engine)
    large = asyncio.create_task(submit(batcher, MANY, terms()))
    await wait_until(lambda: engine.held == 1)

    await submit(batcher, [encoding(7)], terms())

    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert engine.nice == {4: own, 64: min(own + 5, 19)}
    await stopped(batcher, engine, large)


async def test_a_single_text_is_answered_while_a_large_request_of_the_same_caller_waits():
    batcher, _ = make(EchoEngine(slots=1, seconds=2e-3))
    large = [asyncio.create_task(submit(batcher, MANY, terms(reuse=False))) for _ in range(2)]
    await wait_until(lambda: batcher.requests_in_flight == 2)

    answered = await submit(batcher, [encoding(7)], terms())

    assert answered[0].logits[0] == 7
    assert not any(task.done() for task in large)
    for task in large:
        assert [each.logits[0] for each in await task] == [*range(256)]
    batcher.close()


async def test_a_single_text_has_room_and_time_beside_a_full_queue_of_large_requests():
    engine = StuckEngine(slots=1)
    batcher, _ = make(engine, max_queue_texts=300, seconds=lambda texts, _length: 0.05 * texts)
    first = await running(batcher, engine, 0, terms())
    large = await queued(batcher, range(1, 257), terms(reuse=False))

    more = await queued(batcher, range(1, 257), terms(reuse=False))
    small = await queued(batcher, [300], terms(within_s=1))

    assert more.exception().field == "texts"
    assert not small.done()
    for task in (first, large, small):
        task.cancel()
    engine.release.set()
    batcher.close()


async def test_a_large_request_that_shares_the_texts_of_another_does_not_go_ahead_of_small_ones():
    engine = StuckEngine(slots=1)
    batcher, _ = make(engine)
    tasks = [
        await running(batcher, engine, 1000, terms()),
        await queued(batcher, range(256), terms()),
        await queued(batcher, range(256), terms()),
        await queued(batcher, [2000], terms()),
    ]

    ended = []
    for number, task in enumerate(tasks):
        task.add_done_callback(lambda _, number=number: ended.append(number))
    engine.release.set()
    await asyncio.gather(*tasks)

    assert ended.index(3) < ended.index(1) < ended.index(2)
    batcher.close()
