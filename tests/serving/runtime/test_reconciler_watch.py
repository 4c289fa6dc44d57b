"""The watch of the registries ends when it is cancelled, whatever happens at that moment."""

import asyncio

from serving.runtime.local import LocalRuntime
from serving.runtime.reconciler import Reconciler
from serving.settings import Settings
from tests.support.null_serving import NullEngine


async def test_a_cancellation_that_comes_with_a_wake_up_is_not_lost(tiny_registry):
    settings = Settings(registry=(tiny_registry,), engine="onnxruntime", threads=1, scan_ms=60_000)
    runtime = LocalRuntime(settings, {"onnxruntime": NullEngine})
    watching = asyncio.create_task(Reconciler(settings, runtime).watch())
    await asyncio.sleep(0.05)

    runtime.wake_up.set()
    await asyncio.sleep(0)  # what waited has ended, and the watch has not gone on yet
    watching.cancel()

    done, _ = await asyncio.wait((watching,), timeout=1)
    watching.cancel()
    assert done
    assert watching.cancelled()
