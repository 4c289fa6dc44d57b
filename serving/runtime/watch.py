"""What is watched in each process: its event loop's lag, and its engines."""

import asyncio
import time

from serving.errors import EngineFailed
from serving.observability.counters import Counters
from serving.runtime.local import LocalRuntime

_EVERY_S = 0.1


async def watch_lag(counters: Counters, process: str) -> None:
    """Count how late the event loop of this process runs what is due, ten times a second."""
    while True:
        due_s = time.monotonic() + _EVERY_S
        await asyncio.sleep(_EVERY_S)
        counters.record_lag(process, max(0.0, time.monotonic() - due_s))


async def watch_engines(runtime: LocalRuntime) -> None:
    """Wait until an engine is lost for good. Raises EngineFailed."""
    while not runtime.lost:  # noqa: ASYNC110  the batcher is made later
        await asyncio.sleep(_EVERY_S)
    raise EngineFailed(runtime.trouble)
