"""Requests in virtual time on cores that batches of small requests take from larger ones'."""

import heapq
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from math import inf

from serving.batching.queue import Flow, QueuedText
from serving.batching.scheduler import Plan
from tests.support.virtual_time import KEY

# Linux's weights of the nice values 0 and 5.
_SMALL, _LARGER = 1024, 335


@dataclass
class Client:
    """Sends the same request again and again.

    The pauses are from one request to the next, or from the answer to the next if it is `closed`.
    """

    flow: Flow
    lengths: list[int]
    pauses_s: Iterator[float]
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request waited for its answer, and what was predicted when it came."""

    seconds: float
    brownout_s: float


@dataclass(slots=True)
class _Request:
    client: str
    at_s: float
    missing: int
    brownout_s: float


@dataclass(eq=False, slots=True)
class _Run:
    plan: Plan
    left_s: float
    started_s: float
    rate: float = 0.0


def _share_cores(runs, cores):
    """Give each run cores by its weight, at most one."""
    weights = {run: _LARGER if run.plan.larger else _SMALL for run in runs}
    while weights:
        total = sum(weights.values())
        for run, weight in weights.items():
            run.rate = min(1.0, cores * weight / total)
        whole = [run for run in weights if run.rate == 1.0]
        if not whole:
            return
        cores -= len(whole)
        for run in whole:
            del weights[run]


class Simulation:
    """`clients` by name, before a scheduler that has as many slots as there are cores."""

    def __init__(self, scheduler, cores, clients):
        self.answers = defaultdict(list)
        """By client."""
        self._scheduler = scheduler
        self._cores = cores
        self._clients = clients
        self._now_s = 0.0
        self._numbers = count()
        self._due = []
        self._requests = {}
        for name in clients:
            self._send_later(name)

    def run(self, seconds):
        """Simulate until then; returns the answers."""
        runs = []
        while self._now_s < seconds:
            while (larger := self._scheduler.startable()) is not None:
                plan = self._scheduler.next_plan(larger=larger)
                runs.append(_Run(plan, plan.predicted_s, self._now_s))
            _share_cores(runs, self._cores)
            end_s = min((self._now_s + run.left_s / run.rate for run in runs), default=inf)
            next_s = min(end_s, self._due[0][0] if self._due else inf)
            for run in runs:
                run.left_s -= run.rate * (next_s - self._now_s)
            self._now_s = next_s
            for run in [run for run in runs if run.left_s < 1e-9]:
                runs.remove(run)
                self._end(run)
            while self._due and self._due[0][0] <= self._now_s:
                self._arrive(heapq.heappop(self._due)[2])
        return self.answers

    def _send_later(self, name):
        at_s = self._now_s + next(self._clients[name].pauses_s)
        heapq.heappush(self._due, (at_s, next(self._numbers), name))

    def _arrive(self, name):
        client = self._clients[name]
        flow, _, _ = self._scheduler.work_of(KEY, client.lengths, client.flow)
        texts = [QueuedText(length) for length in client.lengths]
        wait_s = self._scheduler.queue_wait_s(flow)
        request = _Request(name, self._now_s, len(texts), wait_s)
        self._requests |= dict.fromkeys(texts, request)
        self._scheduler.add(KEY, texts, flow)
        if not client.closed:
            self._send_later(name)

    def _end(self, run):
        self._scheduler.finished(run.plan, self._now_s - run.started_s)
        for text in run.plan.texts:
            request = self._requests.pop(text)
            request.missing -= 1
            if not request.missing:
                answer = Answer(self._now_s - request.at_s, request.brownout_s)
                self.answers[request.client].append(answer)
                if self._clients[request.client].closed:
                    self._send_later(request.client)
