import asyncio
import socket

import numpy as np
import pytest

from serving.access.api_keys import Caller
from serving.access.rate_limits import Limits
from serving.batching.queue import Flow
from serving.errors import DeadlineMissed, EngineFailed, NotReady, RateLimited
from serving.inference.inputs import Encoding, Row
from serving.runtime.frames import REQUESTS, WITHDRAWALS, read_requests, read_withdrawals
from serving.runtime.ipc import Channel
from serving.runtime.remote import RemoteRuntime
from tests.support.batchers import KEY, encoding, make, terms, wait_until
from tests.support.channels import Inbox, channel_pair
from tests.support.faults import StuckEngine
from tests.support.runtimes import BatcherRuntime, connected

LONG = Encoding(list(range(100_000)), 100_000)


class SumEngine:
    """Answers the sum of a text's ids, which floats of 32 bits do not hold exactly, and 1/3."""

    slots = 1
    packed = True

    def run(self, batch):
        return np.array([[sum(item.ids), 1 / 3] for item in batch], dtype=np.float32)


class ShapeEngine(SumEngine):
    """Reads rows."""

    def run(self, batch):
        return np.array([[row.tensors[0].sum()] for row in batch], dtype=np.float32)


class MixedUpEngine(SumEngine):
    """Answers what is no number for a text of one token."""

    def run(self, batch):
        return np.array([[None if item.length == 1 else 1.0] for item in batch], dtype=object)


def run(scenario, engine=None, **options):
    """Run a scenario over a remote runtime, its server's task and the batcher."""

    async def whole():
        batcher, _ = make(engine or SumEngine(), **options)
        runtime = BatcherRuntime(batcher)
        try:
            async with asyncio.timeout(20), connected(runtime) as (remote, serving):
                await scenario(remote, serving, runtime)
        finally:
            batcher.close()

    asyncio.run(whole())


def test_many_requests_get_their_own_answers_to_the_last_bit():
    async def scenario(remote, _serving, _runtime):
        texts = [[encoding(n * 7919, 1 + n % 5) for _ in range(1 + n % 3)] for n in range(200)]
        flows = [Flow("a"), Flow("b", 5)]
        futures = [
            remote.submit(KEY, items, terms(flow=flows[n % 2], reuse=bool(n % 4)))
            for n, items in enumerate(texts)
        ]
        for n, (items, results) in enumerate(
            zip(texts, await asyncio.gather(*futures), strict=True)
        ):
            expected = [float(np.float32(n * 7919)), float(np.float32(1 / 3))]
            assert [each.logits for each in results] == [expected] * len(items)
            assert all(each.queue_s >= 0 and each.engine_s >= 0 for each in results)

    run(scenario, cache_texts=10)


def test_a_cached_answer_has_no_start_tag():
    async def scenario(remote, _serving, _runtime):
        (first,) = await remote.submit(KEY, [encoding(5)], terms())
        (second,) = await remote.submit(KEY, [encoding(5)], terms())
        assert first.start_tag_s is not None
        assert (second.logits, second.start_tag_s) == (first.logits, None)

    run(scenario, cache_texts=10)


def test_rows_of_tensors_are_answered():
    async def scenario(remote, _serving, _runtime):
        (result,) = await remote.submit(KEY, [Row((np.array([1.5, 2.5]),))], terms())
        assert result.logits == [4.0]

    run(scenario, ShapeEngine())


def test_a_refusal_is_that_of_the_batcher_and_others_are_answered():
    async def scenario(remote, _serving, runtime):
        futures = [
            remote.submit(KEY, [encoding(1)], terms()),
            remote.submit(KEY, [encoding(2)], terms(within_s=-1)),
            remote.submit(("no", "such", "variant"), [encoding(3)], terms()),
            remote.submit(KEY, [encoding(4)], terms()),
        ]
        found = await asyncio.gather(*futures, return_exceptions=True)
        assert found[0][0].logits[0] == 1.0
        assert isinstance(found[1], DeadlineMissed)
        assert found[1].field == "deadline_ms"
        assert isinstance(found[2], EngineFailed)
        assert found[3][0].logits[0] == 4.0
        assert runtime.batcher.requests_in_flight == 0

    run(scenario)


def test_results_that_are_no_numbers_fail_their_request_only():
    async def scenario(remote, _serving, _runtime):
        good, bad = (remote.submit(KEY, [encoding(1, n)], terms()) for n in (2, 1))
        assert (await good)[0].logits == [1.0]
        with pytest.raises(EngineFailed):
            await bad

    run(scenario, MixedUpEngine())


def test_a_cancelled_request_frees_its_place_in_the_engine_process():
    async def scenario(remote, _serving, runtime):
        futures = [remote.submit(KEY, [encoding(n)], terms()) for n in range(4)]
        await wait_until(lambda: runtime.batcher.requests_in_flight == 4)
        for future in futures[1:]:
            future.cancel()
        await wait_until(lambda: runtime.batcher.requests_in_flight == 1)
        engine.release.set()
        assert len(await futures[0]) == 1

    engine = StuckEngine()
    run(scenario, engine)


def test_requests_of_a_process_that_goes_are_withdrawn_and_its_callers_leave():
    caller = Caller("c", limits=Limits(max_requests=1))

    async def scenario(remote, serving, runtime):
        await remote.enter(caller)
        with pytest.raises(RateLimited):
            await remote.enter(caller)
        remote.submit(KEY, [encoding(1)], terms())
        await wait_until(lambda: runtime.batcher.requests_in_flight == 1)
        remote.close()
        await asyncio.wait_for(serving, 5)
        assert runtime.batcher.requests_in_flight == 0
        runtime.limit_use.enter(caller.name, caller.limits)
        engine.release.set()

    engine = StuckEngine()
    run(scenario, engine)


def test_a_request_that_is_cancelled_while_it_enters_leaves():
    caller = Caller("c", limits=Limits(max_requests=1))

    async def scenario(remote, _serving, _runtime):
        entering = asyncio.create_task(remote.enter(caller))
        await asyncio.sleep(0)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        while True:
            try:
                await remote.enter(caller)
                break
            except RateLimited:
                await asyncio.sleep(0.001)

    run(scenario)


def test_pages_wakes_and_the_state_come_through():
    async def scenario(remote, _serving, runtime):
        assert await remote.page(ready=True) == (b"page", "text/plain")
        with pytest.raises(EngineFailed, match="no page"):
            await remote.page(ready=False)
        remote.wake("tone")
        await wait_until(lambda: runtime.woken == ["tone"])
        await wait_until(lambda: remote.alive)
        assert remote.backlog().running_s == (7.0,)

    run(scenario)


def test_a_turn_is_one_frame_and_a_flow_is_announced_once():
    async def scenario():
        async with channel_pair() as (ours, theirs):
            inbox, remote = Inbox(ours), RemoteRuntime(theirs)
            for turn in range(2):
                futures = [
                    remote.submit(KEY, [Encoding([turn, n], 2)], terms(flow=Flow("a")))
                    for n in range(3)
                ]
                futures[1].cancel()
                await wait_until(lambda: len(inbox.frames) == 2)
                (requests_kind, requests), (withdrawals_kind, withdrawn) = inbox.frames
                inbox.frames.clear()
                assert (requests_kind, withdrawals_kind) == (REQUESTS, WITHDRAWALS)
                read = list(read_requests(memoryview(requests)))
                assert [list(items[0].ids) for _, _, _, items, *_ in read] == [
                    [turn, n] for n in range(3)
                ]
                assert list(read_withdrawals(memoryview(withdrawn))) == [read[1][0]]
            ours.abort()
            names = [rest async for kind, *rest in inbox.messages() if kind == "name"]
            assert names == [[0, Flow("a")], [1, KEY]]

    asyncio.run(scenario())


def test_when_the_engine_process_goes_every_request_fails_and_none_is_accepted():
    async def scenario():
        async with channel_pair() as (ours, theirs):
            remote = RemoteRuntime(theirs)
            future = remote.submit(KEY, [encoding(1)], terms())
            await asyncio.sleep(0)
            ours.abort()
            with pytest.raises(NotReady) as lost:
                await future
            assert (lost.value.status, lost.value.retry_after_s) == (503, 1)
            assert remote.gone.is_set()
            assert not remote.alive
            with pytest.raises(NotReady):
                remote.submit(KEY, [encoding(1)], terms())

    asyncio.run(scenario())


def test_what_an_engine_process_does_not_read_is_bounded():
    async def scenario():
        ours, theirs = socket.socketpair()  # nobody reads the former
        with ours:
            channel = await Channel.over(theirs)
            remote = RemoteRuntime(channel)
            futures = []
            while not channel.full:
                futures.append(remote.submit(KEY, [LONG], terms()))
                await written(channel)
            with pytest.raises(NotReady) as refused:
                remote.submit(KEY, [LONG], terms())
            assert refused.value.retry_after_s
            assert 10 < len(futures) < 60  # of 0.4 MB each
            channel.abort()
            await channel.closed()
            assert all(isinstance(future.exception(), NotReady) for future in futures)

    asyncio.run(scenario())


async def written(channel):
    """Until the turn has ended and the transport has what it sent."""
    await wait_until(lambda: not channel.flushing)


def test_requests_are_accepted_again_once_the_engine_process_reads():
    async def scenario():
        ours, theirs = socket.socketpair()
        channel = await Channel.over(theirs)
        remote = RemoteRuntime(channel)
        sent = 0
        while not channel.full:
            remote.submit(KEY, [LONG], terms())
            sent += 1
            await written(channel)
        other = await Channel.over(ours)
        inbox = Inbox(other)
        await wait_until(lambda: not channel.full)
        remote.submit(KEY, [LONG], terms())
        await wait_until(lambda: len(inbox.frames) == sent + 1)
        other.abort()
        await channel.closed()

    asyncio.run(scenario())
