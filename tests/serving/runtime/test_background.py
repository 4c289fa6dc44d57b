import asyncio
import threading

import pytest

from serving.errors import BundleError
from serving.runtime.background import in_background
from tests.support.faults import Panic


async def test_what_the_work_returns_or_raises_reaches_who_waits():
    def panic():
        raise Panic("broken")

    assert await in_background(lambda: 3, "adding", 5) == 3
    with pytest.raises(Panic, match="broken"):
        await in_background(panic, "breaking", 5)


async def test_work_that_hangs_is_given_up_and_does_not_hold_up_the_process():
    ended = threading.Event()
    with pytest.raises(BundleError, match=r"hanging took over 0\.05 s"):
        await in_background(ended.wait, "hanging", 0.05)
    (hanging,) = (thread for thread in threading.enumerate() if thread.name == "hanging")

    assert hanging.daemon
    ended.set()
    await asyncio.to_thread(hanging.join)
