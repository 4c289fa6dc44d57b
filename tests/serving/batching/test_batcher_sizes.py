"""Requests of several sizes beside each other, on a real batcher."""

import asyncio

from tests.support.batchers import encoding, make, queued, running, submit, terms, wait_until
from tests.support.faults import EchoEngine, StuckEngine

MANY = [encoding(first, 64) for first in range(256)]


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
