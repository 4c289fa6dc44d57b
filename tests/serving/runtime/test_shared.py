import asyncio

import pytest

from serving.runtime.shared import Shared


class Work:
    """Counts what has begun; each goes on until it is let."""

    def __init__(self):
        self.begun = 0
        self.running = 0
        self.go_on = asyncio.Event()

    async def __call__(self):
        self.begun += 1
        self.running += 1
        assert self.running == 1
        number = self.begun
        await self.go_on.wait()
        self.running -= 1
        return number


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_those_who_ask_before_it_begins_share_one_result_and_later_ones_the_next():
    work = Work()
    shared = Shared(work)
    first = [asyncio.create_task(shared()) for _ in range(3)]
    await turns()
    later = [asyncio.create_task(shared()) for _ in range(3)]
    await turns()
    assert work.begun == 1
    work.go_on.set()

    assert await asyncio.gather(*first, *later) == [1, 1, 1, 2, 2, 2]
    assert await shared() == 3


async def test_one_who_leaves_takes_nothing_from_the_others():
    work = Work()
    shared = Shared(work)
    leaving, staying = (asyncio.create_task(shared()) for _ in range(2))
    await turns()
    leaving.cancel()
    work.go_on.set()

    assert await staying == 1


async def test_a_failure_is_told_to_all_and_the_next_time_is_another():
    async def fail():
        raise ValueError("no page")

    shared = Shared(fail)
    asked = [asyncio.create_task(shared()) for _ in range(2)]
    assert [type(each) for each in await asyncio.gather(*asked, return_exceptions=True)] == [
        ValueError,
        ValueError,
    ]
    with pytest.raises(ValueError, match="no page"):
        await shared()
