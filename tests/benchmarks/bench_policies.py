"""Batching policies over one engine: offline, and as a closed loop without HTTP.

`none`, `window`, `cap` and `sorted window` are what other servers do; `ours` is serving's Batcher.
"""

import asyncio
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from serving.batching.batcher import Batcher
from serving.batching.queue import Terms
from serving.batching.scheduler import Scheduler
from tests.support.bundles import encoded

BUDGETS_TOKENS = (0, 64, 128, 256, 512, 1024)
CAP_TOKENS = 256
WINDOW_S = 0.005
WINDOW_TEXTS = 32
KEY = ("bench", "bench", "bench")
FAR_S = 600


def sorted_batches(lengths, budget_tokens):
    """Index lists: one by one (budget 0), or sorted by length up to a padded-token budget."""
    if not budget_tokens:
        yield from ([index] for index in range(len(lengths)))
        return
    batch = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[index] > budget_tokens:
            yield batch
            batch = []
        batch.append(index)
    yield batch


def offline_rate(engine, tokenizer, texts, budget_tokens):
    """Texts per second with all slots busy, tokenization included."""
    started = time.perf_counter()
    encodings = tokenizer.encode(texts)
    plan = list(sorted_batches([e.length for e in encodings], budget_tokens))
    with ThreadPoolExecutor(engine.slots) as threads:
        list(threads.map(lambda batch: engine.run([encodings[i] for i in batch]), reversed(plan)))
    return len(texts) / (time.perf_counter() - started)


async def one(queue):
    return [[await queue.get()]]


async def window(queue):
    batch = [await queue.get()]
    until = time.monotonic() + WINDOW_S
    while len(batch) < WINDOW_TEXTS:
        try:
            batch.append(await asyncio.wait_for(queue.get(), until - time.monotonic()))
        except TimeoutError:
            break
    return [batch]


async def sorted_window(queue):
    (batch,) = await window(queue)
    plan = sorted_batches([text.length for text, _ in batch], CAP_TOKENS)
    return [[batch[index] for index in part] for part in plan]


async def cap(queue):
    batch = [await queue.get()]
    longest = batch[0][0].length
    while not queue.empty():
        longest = max(longest, queue._queue[0][0].length)
        if (len(batch) + 1) * longest > CAP_TOKENS:
            break
        batch.append(queue.get_nowait())
    return [batch]


POLICIES = {
    "none": one,
    "window of 32 texts or 5 ms": window,
    "256 padded tokens in arrival order": cap,
    "sorted within a window": sorted_window,
}


class Baseline:
    """Texts in arrival order to batches by a policy, `slots` batches at a time."""

    def __init__(self, engine, policy):
        self._engine = engine
        self._queue = asyncio.Queue()
        self._policy = policy
        self._threads = ThreadPoolExecutor(engine.slots)
        self._slots = asyncio.Semaphore(engine.slots)
        self._tasks = [asyncio.create_task(self._work())]

    async def answer(self, encoding):
        future = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((encoding, future))
        await future

    async def _work(self):
        while True:
            await self._slots.acquire()
            batches = await POLICIES[self._policy](self._queue)
            for number, batch in enumerate(batches):
                if number:
                    await self._slots.acquire()
                self._tasks.append(asyncio.create_task(self._run(batch)))

    async def _run(self, batch):
        loop = asyncio.get_running_loop()
        longest = max(text.length for text, _ in batch)
        # Padding as other servers pad, whatever the engine would pack.
        padded = encoded(*(text.ids + [0] * (longest - text.length) for text, _ in batch))
        await loop.run_in_executor(self._threads, self._engine.run, padded)
        self._slots.release()
        for _, future in batch:
            future.set_result(None)

    def close(self):
        for task in self._tasks:
            task.cancel()
        self._threads.shutdown(wait=True)


class Ours:
    """The same door, with serving's own batcher behind it."""

    def __init__(self, engine, lane):
        self._batcher = Batcher(
            {KEY: engine},
            Scheduler({KEY: lane}, engine.slots),
            slots=engine.slots,
            max_queue_texts=100_000,
            engine_timeout_s=FAR_S,
            clock=time.monotonic,
            on_batch=lambda _report: None,
        )

    async def answer(self, encoding):
        await self._batcher.submit(KEY, [encoding], Terms(time.monotonic() + FAR_S))

    def close(self):
        self._batcher.close()


def closed_loop(make, encodings, clients, seconds):
    """`clients` that each send their next text when the last is answered.

    Texts per second, and the p99 in ms of the shorter half of the texts.
    """
    short = statistics.median(encoding.length for encoding in encodings)

    async def main():
        server = make()
        answered = 0
        short_ms = []
        until = time.monotonic() + seconds

        async def client(first):
            nonlocal answered
            turn = first
            while time.monotonic() < until:
                encoding = encodings[turn % len(encodings)]
                began = time.monotonic()
                await server.answer(encoding)
                if encoding.length <= short:
                    short_ms.append(1e3 * (time.monotonic() - began))
                answered += 1
                turn += clients

        started = time.monotonic()
        await asyncio.gather(*(client(first) for first in range(clients)))
        elapsed = time.monotonic() - started
        server.close()
        return answered / elapsed, statistics.quantiles(short_ms, n=100)[-1]

    return asyncio.run(main())
