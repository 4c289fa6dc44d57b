"""Callers come and go: what both processes know of them does not grow, and none is mixed up."""

import asyncio

from serving.batching.queue import Flow
from serving.runtime import remote as module
from tests.support.batchers import KEY, encoding, make, terms
from tests.support.faults import EchoEngine
from tests.support.runtimes import BatcherRuntime, connected

MOST = 8


def test_requests_of_any_number_of_callers_are_answered_for_their_own(monkeypatch):
    monkeypatch.setattr(module, "MOST_NAMES", MOST)
    flows = [Flow(f"caller {number % 30}", number % 8) for number in range(600)]

    async def scenario():
        batcher, _ = make(EchoEngine())
        enqueued, enqueue = [], batcher.enqueue

        def watched(variant, items, its_terms, waiter):
            enqueued.append((items[0].ids[0], its_terms.flow))
            return enqueue(variant, items, its_terms, waiter)

        batcher.enqueue = watched
        async with asyncio.timeout(30), connected(BatcherRuntime(batcher)) as (remote, _):
            for first in range(0, len(flows), 20):
                numbers = range(first, first + 20)
                answers = [
                    remote.submit(KEY, [encoding(number)], terms(flow=flows[number]))
                    for number in numbers
                ]
                await asyncio.gather(*answers)
                assert len(remote._names) <= MOST + 20 + 1
        batcher.close()
        assert enqueued == list(enumerate(flows))

    asyncio.run(scenario())
