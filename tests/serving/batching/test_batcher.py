import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.batching.batcher import Batcher
from serving.batching.queue import Flow, Terms
from serving.batching.scheduler import Scheduler
from serving.errors import DeadlineMissed, EngineFailed, Overloaded
from serving.inference.cost_model import Lane
from serving.inference.tokenizer import Encoding
from tests.support.faults import EchoEngine, FailingEngine, ShortEngine, StuckEngine

KEY = ("family", "variant", "0" * 16)


def make(
    engine, *, max_queue_texts=1000, engine_timeout_s=20.0, seconds=lambda _n, _l: 1e-4, **more
):
    reports = []
    batcher = Batcher(
        {KEY: engine},
        Scheduler({KEY: Lane(seconds, 256)}, engine.slots),
        slots=engine.slots,
        max_queue_texts=max_queue_texts,
        engine_timeout_s=engine_timeout_s,
        clock=time.monotonic,
        on_batch=reports.append,
        **more,
    )
    return batcher, reports


def encoding(first, length=4):
    return Encoding([first] + [0] * (length - 1), length)


async def wait_until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  an engine's thread has no event to wait for
            await asyncio.sleep(0.001)


def terms(within_s=20, **kwargs):
    return Terms(time.monotonic() + within_s, **kwargs)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.booleans()),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 4),
)
def test_each_waiter_gets_its_own_answers_in_order_whoever_else_leaves(requests, slots):
    async def scenario():
        engine = EchoEngine(slots)
        batcher, reports = make(engine)
        first = 0
        waiters = []
        for lengths, leaves in requests:
            encodings = [encoding(first + i, length) for i, length in enumerate(lengths)]
            task = asyncio.create_task(batcher.submit(KEY, encodings, terms()))
            waiters.append((task, encodings, leaves))
            first += len(lengths)
        await asyncio.sleep(0)
        for task, _, leaves in waiters:
            if leaves:
                task.cancel()
        for task, encodings, leaves in waiters:
            if leaves:
                with pytest.raises(asyncio.CancelledError):
                    await task
                continue
            answered = await asyncio.wait_for(task, 5)
            assert [list(a.logits) for a in answered] == [[e.ids[0], e.length] for e in encodings]
        await wait_until(lambda: sum(r.texts for r in reports) == sum(map(len, engine.batches)))
        assert engine.most_running <= slots
        batcher.close()

    asyncio.run(scenario())


async def test_a_failing_batch_fails_exactly_its_own_texts():
    batcher, _ = make(FailingEngine(poison=7, slots=1))

    first = asyncio.gather(
        *(batcher.submit(KEY, [encoding(i, 4 + 40 * (i == 7))], terms()) for i in range(10)),
        return_exceptions=True,
    )
    results = await asyncio.wait_for(first, 5)
    again = await batcher.submit(KEY, [encoding(1)], terms())

    assert [isinstance(result, EngineFailed) for result in results] == [i == 7 for i in range(10)]
    assert again[0].logits[0] == 1
    assert batcher.alive


async def test_an_engine_that_answers_short_is_an_error_and_not_a_mix_up():
    batcher, _ = make(ShortEngine())

    with pytest.raises(EngineFailed):
        await batcher.submit(KEY, [encoding(1), encoding(2)], terms())


async def test_all_texts_of_a_request_join_the_queue_or_none_does():
    engine = StuckEngine(slots=1)
    batcher, _ = make(engine, max_queue_texts=4)
    running = asyncio.create_task(batcher.submit(KEY, [encoding(0)], terms()))
    await asyncio.sleep(0.01)
    waiting = asyncio.create_task(batcher.submit(KEY, [encoding(i) for i in (1, 2)], terms()))
    await asyncio.sleep(0.01)

    with pytest.raises(Overloaded) as refused:
        await batcher.submit(KEY, [encoding(i) for i in (3, 4, 5)], terms())
    fits = asyncio.create_task(batcher.submit(KEY, [encoding(i) for i in (6, 7)], terms()))
    await asyncio.sleep(0.01)
    engine.release.set()

    assert refused.value.retry_after_s >= 1
    assert refused.value.limit == 4
    assert [len(await task) for task in (running, waiting, fits)] == [1, 2, 2]


async def test_a_client_that_leaves_frees_its_place_in_the_queue():
    engine = StuckEngine(slots=1)
    batcher, _ = make(engine, max_queue_texts=1)
    running = asyncio.create_task(batcher.submit(KEY, [encoding(0)], terms()))
    await asyncio.sleep(0.01)
    leaver = asyncio.create_task(batcher.submit(KEY, [encoding(1)], terms()))
    await asyncio.sleep(0.01)

    leaver.cancel()
    await asyncio.gather(leaver, return_exceptions=True)
    stayer = asyncio.create_task(batcher.submit(KEY, [encoding(2)], terms()))
    await asyncio.sleep(0.01)
    engine.release.set()

    assert (await stayer)[0].logits[0] == 2
    await running
    assert [1] not in [row for row in engine.batches if row == [1]]
    assert sum(map(len, engine.batches)) == 2


async def test_a_text_that_still_waits_at_its_deadline_is_refused_without_being_run():
    engine = StuckEngine(slots=1)
    batcher, _ = make(engine)
    running = asyncio.create_task(batcher.submit(KEY, [encoding(0)], terms()))
    await asyncio.sleep(0.01)

    with pytest.raises(DeadlineMissed):
        await batcher.submit(KEY, [encoding(1)], terms(0.05))
    engine.release.set()
    await running

    assert sum(map(len, engine.batches)) == 1


async def test_a_deadline_that_the_backlog_cannot_meet_is_refused_at_once():
    batcher, _ = make(EchoEngine(), seconds=lambda texts, length: 10.0)  # noqa: ARG005
    started = time.monotonic()

    with pytest.raises(DeadlineMissed) as refused:
        await batcher.submit(KEY, [encoding(1)], terms(5))

    assert time.monotonic() - started < 1
    assert refused.value.value == 10_000


async def test_a_deadline_that_only_the_others_texts_make_impossible_is_refused_as_overload():
    engine = StuckEngine(slots=1)
    batcher, _ = make(engine, seconds=lambda rows, tokens: 0.6)  # noqa: ARG005
    running = asyncio.create_task(batcher.submit(KEY, [encoding(0)], terms()))
    await asyncio.sleep(0.01)

    with pytest.raises(Overloaded) as refused:
        await batcher.submit(KEY, [encoding(1)], terms(1))
    engine.release.set()
    await running

    assert (refused.value.field, refused.value.value) == ("deadline_ms", 1200)
    assert refused.value.retry_after_s == 1


async def test_an_engine_that_does_not_come_back_fails_its_waiters_and_shows():
    engine = StuckEngine(slots=1)
    batcher, _ = make(engine, engine_timeout_s=0.05)

    with pytest.raises(EngineFailed):
        await asyncio.wait_for(batcher.submit(KEY, [encoding(1)], terms()), 5)
    engine.release.set()

    assert not batcher.alive


async def test_a_large_request_is_split_over_all_slots():
    engine = EchoEngine(slots=2, seconds=0.02)
    batcher, reports = make(engine)

    await batcher.submit(KEY, [encoding(i, 8) for i in range(32)], terms())

    assert engine.most_running == 2
    assert [report.texts for report in reports] == [16, 16]
    assert all(report.padding_tokens == 0 and report.tokens == 128 for report in reports)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 5), min_size=1, max_size=6),  # which texts, often the same
            st.sampled_from([Flow("search"), Flow("nightly", 7)]),
            st.booleans(),
            st.booleans(),
        ),
        min_size=1,
        max_size=20,
    ),
    st.integers(0, 4),
)
def test_shared_or_known_every_waiter_gets_its_own_answers_whoever_else_leaves(requests, kept):
    async def scenario():
        engine = EchoEngine(slots=2, seconds=1e-3)
        batcher, _ = make(engine, cache_texts=kept)
        waiters = []
        for texts, flow, reuse, leaves in requests:
            encodings = [encoding(text) for text in texts]
            submitted = batcher.submit(KEY, encodings, terms(flow=flow, reuse=reuse))
            waiters.append((asyncio.create_task(submitted), texts, leaves))
            await asyncio.sleep(0)
        for task, _, leaves in waiters:
            if leaves:
                task.cancel()
        for task, texts, leaves in waiters:
            if leaves:
                await asyncio.wait((task,), timeout=5)
                assert task.done()
            else:
                answered = await asyncio.wait_for(task, 5)
                assert [a.logits[0] for a in answered] == texts
        batcher.close()

    asyncio.run(scenario())


async def test_a_text_that_is_in_flight_is_run_once_for_all_that_want_it():
    engine = StuckEngine(slots=1)
    reused = []
    batcher, _ = make(engine, on_reuse=lambda *report: reused.append(report))
    first = asyncio.create_task(batcher.submit(KEY, [encoding(i) for i in (1, 2, 1)], terms()))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(batcher.submit(KEY, [encoding(i) for i in (2, 3)], terms()))
    alone = asyncio.create_task(batcher.submit(KEY, [encoding(2)], terms(reuse=False)))
    await asyncio.sleep(0.01)

    first.cancel()
    await asyncio.wait((first,))
    engine.release.set()

    assert [a.logits[0] for a in await second] == [2, 3]
    assert [a.logits[0] for a in await alone] == [2]
    assert sum(map(len, engine.batches)) == 4
    assert reused == [(KEY, 0, 1), (KEY, 0, 1)]


async def test_known_texts_are_answered_without_a_run_and_the_least_wanted_are_let_go():
    engine = EchoEngine()
    reused = []
    batcher, _ = make(engine, cache_texts=2, on_reuse=lambda *report: reused.append(report))
    for text in (1, 2, 1, 3):
        await batcher.submit(KEY, [encoding(text)], terms())
    runs = len(engine.batches)

    known = await batcher.submit(KEY, [encoding(1), encoding(3)], terms())
    forgotten = await batcher.submit(KEY, [encoding(2)], terms())

    assert [(a.logits[0], a.engine_s) for a in known] == [(1, 0.0), (3, 0.0)]
    assert forgotten[0].logits[0] == 2
    assert (runs, len(engine.batches)) == (3, 4)
    assert reused == [(KEY, 1, 0), (KEY, 2, 0)]


async def test_a_full_queue_of_one_caller_does_not_refuse_another():
    engine = StuckEngine(slots=1)
    batcher, _ = make(engine, max_queue_texts=4, seconds=lambda _n, _l: 1.0)
    nightly, search = Flow("nightly"), Flow("search")
    backlog = []
    for index in range(5):
        submitted = batcher.submit(KEY, [encoding(index)], terms(flow=nightly))
        backlog.append(asyncio.create_task(submitted))
        await asyncio.sleep(0.01)

    with pytest.raises(Overloaded):
        await batcher.submit(KEY, [encoding(5)], terms(flow=nightly))
    answered = asyncio.create_task(batcher.submit(KEY, [encoding(6)], terms(4, flow=search)))
    await asyncio.sleep(0.01)
    engine.release.set()

    assert (await answered)[0].logits[0] == 6
    await asyncio.gather(*backlog)
