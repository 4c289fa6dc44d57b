import asyncio
import time

import pytest

from serving.errors import EngineFailed
from tests.support.batchers import KEY, encoding, make, terms, wait_until
from tests.support.faults import StuckEngine


async def test_an_engine_that_was_late_and_comes_back_serves_again():
    engine = StuckEngine(slots=1)
    batcher, _ = make(engine, engine_timeout_s=0.4)
    watchdog = batcher.watchdog

    with pytest.raises(EngineFailed, match=r"has run for over 0\.4 s"):
        await asyncio.wait_for(batcher.submit(KEY, [encoding(1)], terms()), 20)
    late = watchdog.alive, watchdog.trouble
    engine.release.set()
    await wait_until(lambda: watchdog.alive)
    answered = await asyncio.wait_for(batcher.submit(KEY, [encoding(2)], terms()), 20)
    batcher.close()

    assert late == (False, "a batch has run for over 0.4 s")
    assert (watchdog.trouble, watchdog.lost) == ("", False)
    assert len(answered) == 1


async def test_an_engine_that_does_not_come_back_is_lost():
    engine = StuckEngine(slots=1)
    batcher, _ = make(engine, engine_timeout_s=0.05)

    with pytest.raises(EngineFailed):
        await asyncio.wait_for(batcher.submit(KEY, [encoding(1)], terms()), 20)
    await wait_until(lambda: batcher.watchdog.lost)
    engine.release.set()
    batcher.close()

    assert not batcher.watchdog.alive
    assert batcher.watchdog.trouble.startswith("an engine has not responded for 0.1 s, twice")


async def test_while_the_process_stands_still_no_engine_is_late():
    engine = StuckEngine(slots=1)
    batcher, _ = make(engine, engine_timeout_s=0.4)

    waiting = batcher.submit(KEY, [encoding(1)], terms(60))
    await wait_until(batcher._running)
    time.sleep(2)  # noqa: ASYNC251  five times the timeout, and the loop stands still
    await asyncio.sleep(0.01)
    alive = batcher.watchdog.alive
    engine.release.set()
    await asyncio.wait_for(waiting, 20)
    batcher.close()

    assert alive
