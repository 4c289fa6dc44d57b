import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.batching.queue import Flow
from serving.errors import DeadlineMissed, EngineFailed, Overloaded
from tests.support.batchers import (
    KEY,
    encoding,
    make,
    queued,
    running,
    submit,
    terms,
    wait_until,
)
from tests.support.fake_clock import FakeClock
from tests.support.faults import (
    EchoEngine,
    FailingEngine,
    MeetingEngine,
    Panic,
    ShortEngine,
    StuckEngine,
)


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
            task = asyncio.create_task(submit(batcher, encodings, terms()))
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
        small = all(sum(lengths) <= 256 or len(lengths) == 1 for lengths, _ in requests)
        assert engine.most_running <= (slots if small else 2 * slots)
        batcher.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, RecursionError, OSError, Panic])
async def test_a_failing_batch_fails_exactly_its_own_texts(error):
    batcher, _ = make(FailingEngine(poison=7, error=error, slots=1))

    first = asyncio.gather(
        *(submit(batcher, [encoding(i, 4 + 40 * (i == 7))], terms()) for i in range(10)),
        return_exceptions=True,
    )
    results = await asyncio.wait_for(first, 5)
    again = await batcher.submit(KEY, [encoding(1)], terms())

    assert [isinstance(result, EngineFailed) for result in results] == [i == 7 for i in range(10)]
    assert results[7].detail == "poisoned"
    assert again[0].logits[0] == 1
    assert batcher.watchdog.alive


async def test_an_engine_that_answers_short_is_an_error_and_not_a_mix_up():
    batcher, _ = make(ShortEngine())

    with pytest.raises(EngineFailed):
        await batcher.submit(KEY, [encoding(1), encoding(2)], terms())


async def test_all_texts_of_a_request_join_the_queue_or_none_does():
    engine = StuckEngine(slots=1)
    batcher, _ = make(engine, max_queue_texts=4)
    first = await running(batcher, engine, 0, terms())
    waiting = await queued(batcher, [1, 2], terms())

    with pytest.raises(Overloaded) as refused:
        await batcher.submit(KEY, [encoding(i) for i in (3, 4, 5)], terms())
    fits = await queued(batcher, [6, 7], terms())
    engine.release.set()

    assert refused.value.retry_after_s >= 1
    assert refused.value.limit == 4
    assert [len(await task) for task in (first, waiting, fits)] == [1, 2, 2]


async def test_a_client_that_leaves_frees_its_place_in_the_queue():
    engine = StuckEngine(slots=1)
    batcher, _ = make(engine, max_queue_texts=1)
    first = await running(batcher, engine, 0, terms())
    leaver = await queued(batcher, [1], terms())

    leaver.cancel()
    await asyncio.gather(leaver, return_exceptions=True)
    stayer = await queued(batcher, [2], terms())
    engine.release.set()

    assert (await stayer)[0].logits[0] == 2
    await first
    assert [1] not in [row for row in engine.batches if row == [1]]
    assert sum(map(len, engine.batches)) == 2


async def test_a_text_that_still_waits_at_its_deadline_is_refused_without_being_run():
    engine = StuckEngine(slots=1)
    batcher, _ = make(engine)
    first = await running(batcher, engine, 0, terms())

    with pytest.raises(DeadlineMissed):
        await batcher.submit(KEY, [encoding(1)], terms(0.05))
    engine.release.set()
    await first

    assert sum(map(len, engine.batches)) == 1


async def test_however_many_wait_at_one_deadline_each_is_refused():
    engine = StuckEngine(slots=1)
    batcher, _ = make(engine)
    first = await running(batcher, engine, 0, terms())
    asked = terms(0.1)
    waiting = [await queued(batcher, [index], asked) for index in range(1, 6)]

    await asyncio.wait(waiting, timeout=5)
    refused = [task.exception() for task in waiting if task.done()]
    engine.release.set()
    await first

    assert [type(error) for error in refused] == [DeadlineMissed] * 5
    assert batcher.requests_in_flight == 0
    assert sum(map(len, engine.batches)) == 1


async def test_a_bug_in_a_report_or_a_plan_shows_and_leaves_nobody_without_an_answer(monkeypatch):
    batcher, _ = make(EchoEngine())
    batcher._on_batch = None
    answered = await asyncio.wait_for(batcher.submit(KEY, [encoding(1)], terms()), 5)
    monkeypatch.setattr(batcher._scheduler, "next_plan", None)
    asked = asyncio.ensure_future(batcher.submit(KEY, [encoding(2)], terms(0.3)))
    await asyncio.wait([asked], timeout=5)

    assert answered[0].logits[0] == 1
    assert isinstance(asked.exception(), DeadlineMissed)
    assert not batcher.watchdog.alive


async def test_a_deadline_that_the_backlog_cannot_meet_is_refused_at_once():
    batcher, _ = make(EchoEngine(), seconds=lambda texts, length: 10.0)  # noqa: ARG005

    refused = asyncio.create_task(submit(batcher, [encoding(1)], terms(5)))
    await asyncio.sleep(0)

    assert refused.done(), "it waits, and nothing can help it"
    assert isinstance(refused.exception(), DeadlineMissed)
    assert refused.exception().value == 10_000


async def test_a_deadline_that_only_the_others_texts_make_impossible_is_refused_as_overload():
    engine = StuckEngine(slots=1)
    clock = FakeClock()
    batcher, _ = make(engine, seconds=lambda rows, tokens: 0.6, clock=clock)  # noqa: ARG005
    first = await running(batcher, engine, 0, terms(clock=clock))

    with pytest.raises(Overloaded) as refused:
        await batcher.submit(KEY, [encoding(1)], terms(1, clock))
    engine.release.set()
    await first

    assert (refused.value.field, refused.value.value) == ("deadline_ms", 1200)
    assert refused.value.retry_after_s == 1


async def test_an_engine_that_does_not_come_back_fails_its_waiters_and_shows():
    engine = StuckEngine(slots=1)
    batcher, _ = make(engine, engine_timeout_s=0.05)

    with pytest.raises(EngineFailed):
        await asyncio.wait_for(batcher.submit(KEY, [encoding(1)], terms()), 5)
    engine.release.set()

    assert not batcher.watchdog.alive


async def test_a_large_request_is_split_over_all_slots():
    engine = MeetingEngine(slots=2)
    batcher, reports = make(engine)

    await batcher.submit(KEY, [encoding(i, 8) for i in range(32)], terms())
    assert len(reports) < 2, "an answer waits until its batch is counted"

    await wait_until(lambda: len(reports) == 2)
    assert [report.texts for report in reports] == [16, 16]
    assert all(report.padding_tokens == 0 and report.tokens == 128 for report in reports)


async def test_a_full_queue_of_one_caller_does_not_refuse_another():
    engine = StuckEngine(slots=1)
    batcher, _ = make(engine, max_queue_texts=4, seconds=lambda _n, _l: 1.0)
    nightly, search = Flow("nightly"), Flow("search")
    backlog = [await running(batcher, engine, 0, terms(flow=nightly))]
    for index in range(1, 5):
        backlog.append(await queued(batcher, [index], terms(flow=nightly)))  # noqa: PERF401

    with pytest.raises(Overloaded):
        await batcher.submit(KEY, [encoding(5)], terms(flow=nightly))
    answered = await queued(batcher, [6], terms(4, flow=search))
    engine.release.set()

    assert (await answered)[0].logits[0] == 6
    await asyncio.gather(*backlog)
