"""Batchers over engines of the tests, and requests that wait or run in them."""

import asyncio
import time

from serving.batching.batcher import Batcher
from serving.batching.queue import Terms
from serving.batching.scheduler import Scheduler
from serving.inference.cost_model import Lane
from serving.inference.tokenizer import Encoding

KEY = ("family", "variant", "0" * 16)


def make(
    engine,
    *,
    max_queue_texts=1000,
    engine_timeout_s=20.0,
    seconds=lambda _n, _l: 1e-4,
    preempts=True,
    clock=time.monotonic,
    **more,
):
    reports = []
    batcher = Batcher(
        {KEY: engine},
        Scheduler({KEY: Lane(seconds, 256, preempts=preempts)}, engine.slots),
        slots=engine.slots,
        max_queue_texts=max_queue_texts,
        engine_timeout_s=engine_timeout_s,
        clock=clock,
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


def terms(within_s=20, clock=time.monotonic, **kwargs):
    return Terms(clock() + within_s, **kwargs)


async def submit(batcher, encodings, asked):
    return await batcher.submit(KEY, encodings, asked)


async def queued(batcher, firsts, asked, length=4):
    """A task that submits one encoding for each first id, once they wait."""
    before = batcher.requests_in_flight
    encodings = [encoding(first, length) for first in firsts]
    task = asyncio.create_task(submit(batcher, encodings, asked))
    await wait_until(lambda: batcher.requests_in_flight > before or task.done())
    return task


async def running(batcher, engine, first, asked):
    """The same once a StuckEngine has it in hand."""
    held = engine.held
    task = await queued(batcher, [first], asked)
    await wait_until(lambda: engine.held > held)
    return task
