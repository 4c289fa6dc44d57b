import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from serving.batching.queue import Flow
from tests.support.batchers import KEY, encoding, make, queued, submit, terms, wait_until
from tests.support.faults import EchoEngine, StuckEngine


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
            submitted = submit(batcher, encodings, terms(flow=flow, reuse=reuse))
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
    first = await queued(batcher, [1, 2, 1], terms())
    await wait_until(lambda: engine.held == 1)
    second = await queued(batcher, [2, 3], terms())
    alone = await queued(batcher, [2], terms(reuse=False))

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


async def test_a_caller_learns_nothing_from_what_another_has_sent():
    engine = EchoEngine()
    reused = []
    batcher, _ = make(engine, cache_texts=10, on_reuse=lambda *report: reused.append(report))
    await batcher.submit(KEY, [encoding(1)], terms(flow=Flow("hospital")))

    (other,) = await batcher.submit(KEY, [encoding(1)], terms(flow=Flow("curious")))
    (own,) = await batcher.submit(KEY, [encoding(1)], terms(flow=Flow("hospital", 7)))

    assert other.engine_s > 0.0
    assert own.engine_s == 0.0
    assert (len(engine.batches), reused) == (2, [(KEY, 1, 0)])


async def test_a_caller_does_not_join_a_text_that_runs_for_another():
    engine = StuckEngine(slots=1)
    batcher, _ = make(engine)
    first = await queued(batcher, [1], terms(flow=Flow("hospital")))
    await wait_until(lambda: engine.held == 1)
    second = await queued(batcher, [1], terms(flow=Flow("curious")))
    engine.release.set()

    assert [a.logits[0] for a in (*await first, *await second)] == [1, 1]
    assert len(engine.batches) == 2
