"""A closed loop in virtual time: batching policies over a cost model, exact and repeatable."""

import heapq
import math
from collections import deque
from dataclasses import dataclass
from itertools import count, cycle

import numpy as np

from serving.batching.queue import QueuedText
from serving.batching.scheduler import Scheduler
from serving.inference.cost_model import Lane

KEY = ("family", "variant", "version")


def usual_lengths(texts=1024, *, median=21, sigma=0.68, most=128):
    """Lengths of texts like the load test's: log-normal, in tokens."""
    normal = np.random.default_rng(0).normal(math.log(median), sigma, texts)
    return np.clip(np.rint(np.exp(normal)), 4, most).astype(int).tolist()


class Scheduled:
    """Serving's own scheduler."""

    def __init__(self, seconds, slots, budget_tokens, *, packed=False):
        self._scheduler = Scheduler({KEY: Lane(seconds, budget_tokens, packed)}, slots)

    def add(self, length):
        text = QueuedText(length)
        self._scheduler.add(KEY, [text])
        return text

    def take(self):
        """The next batch, and its handle for `finish`; None if nothing is queued."""
        plan = self._scheduler.plan()
        return plan and (plan.texts, plan)

    def finish(self, plan, seconds):
        self._scheduler.finished(plan, seconds)


class SortedAndSplit:
    """Up to `texts` queued texts, sorted by length and split at `budget_tokens` padded tokens."""

    def __init__(self, texts=16, budget_tokens=256):
        self._texts = texts
        self._budget_tokens = budget_tokens
        self._queued = []
        self._batches = deque()

    def add(self, length):
        text = QueuedText(length)
        self._queued.append(text)
        return text

    def take(self):
        if not self._batches:
            first, self._queued = self._queued[: self._texts], self._queued[self._texts :]
            for text in sorted(first, key=lambda text: text.length):
                last = self._batches[-1] if self._batches else []
                if not last or (len(last) + 1) * text.length > self._budget_tokens:
                    last = []
                    self._batches.append(last)
                last.append(text)
        return (self._batches.popleft(), None) if self._batches else None

    def finish(self, _handle, _seconds):
        pass


@dataclass(frozen=True, slots=True)
class Outcome:
    texts_per_s: float
    p50_s: float
    p99_s: float
    texts_a_batch: float
    padding: float
    """Share of the computed tokens."""


def closed_loop(policy, seconds, lengths, *, clients=32, slots=2, texts=4000):
    """`clients` that each send their next text when the last is answered, in `slots` slots.

    A batch of n texts of at most L tokens takes seconds(n, L).
    """
    stream, numbers = cycle(lengths), count()
    now_s, idle, running, began_s = 0.0, slots, [], {}
    waits_s, batches, tokens, cells = [], 0, 0, 0
    for _ in range(clients):
        began_s[policy.add(next(stream))] = now_s
    while len(waits_s) < texts:
        while idle and (taken := policy.take()):
            batch, handle = taken
            longest = max(text.length for text in batch)
            took_s = seconds(len(batch), longest)
            heapq.heappush(running, (now_s + took_s, next(numbers), batch, handle, took_s))
            idle -= 1
            batches += 1
            tokens += sum(text.length for text in batch)
            cells += len(batch) * longest
        now_s, _, batch, handle, took_s = heapq.heappop(running)
        idle += 1
        policy.finish(handle, took_s)
        waits_s += [now_s - began_s.pop(text) for text in batch]
        for _ in batch:
            began_s[policy.add(next(stream))] = now_s
    p50_s, p99_s = np.quantile(waits_s, (0.5, 0.99))
    answered = len(waits_s)
    return Outcome(answered / now_s, p50_s, p99_s, answered / batches, 1 - tokens / cells)
