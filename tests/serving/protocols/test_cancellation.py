import asyncio

import pytest

from serving.protocols.cancellation import Cancellation


async def interrupted(*errors):
    with Cancellation() as cancel:
        for error in errors:
            asyncio.get_running_loop().call_soon(cancel, error)
        await asyncio.sleep(30)


async def test_an_interrupted_wait_raises_the_given_error_and_leaves_the_task_uncancelled():
    with pytest.raises(KeyError, match="late"):
        await interrupted(KeyError("late"))

    task = asyncio.current_task()
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_only_the_first_error_counts_and_none_after_the_end():
    with pytest.raises(KeyError):
        await interrupted(KeyError("first"), ValueError("second"))

    with Cancellation() as cancel:
        pass
    cancel(ValueError("after the end"))
    await asyncio.sleep(0)


async def test_a_cancellation_from_elsewhere_goes_on():
    task = asyncio.ensure_future(interrupted(KeyError("late")))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
