import asyncio
import threading
import time
from threading import Lock

from serving.batching.engine_threads import EngineThreads
from serving.batching.scheduler import Scheduler


async def test_each_thread_is_told_once_to_end():
    before = set(threading.enumerate())
    threads = EngineThreads(
        Scheduler({}, 3),
        {},
        Lock(),
        slots=3,
        clock=time.monotonic,
        on_finished=lambda *_: None,
        on_died=lambda: None,
    )
    begun = set(threading.enumerate()) - before
    own = [each for each in begun if each.name.startswith("engine-")]
    assert len(own) == 6

    threads.close()
    for each in own:
        await asyncio.to_thread(each.join, 30)

    assert not any(each.is_alive() for each in own)
    assert [wakes.qsize() for wakes in threads._wakes] == [0, 0]
