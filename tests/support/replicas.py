"""Replicas that watch one cascade, and the rule of helm/rules.yaml that adds up their bets."""

from collections import Counter

import numpy as np

from serving.observability.drift import Drift

ALARM, MOST = 18.0, 36.0


class Together:
    """`job:sizewise_escalation_evidence:cusum`, minute by minute."""

    def __init__(self):
        self.evidence = {}
        self._before = {}

    def add(self, pages):
        """The next minute's pages: {replica: {bet: logarithm of its capital}}."""
        won = Counter()
        for replica in pages.keys() & self._before.keys():
            for bet, capital in pages[replica].items():
                won[bet] += capital - self._before[replica][bet]
        for bet, change in won.items():
            self.evidence[bet] = min(max(0.0, self.evidence.get(bet, 0.0) + change), MOST)
        self._before = pages

    @property
    def most(self):
        return max(self.evidence.values(), default=0.0)


class Replicas:
    """Some replicas of one service, each of which answers the requests that reach it."""

    def __init__(self, count, low, high, seed=0):
        self._interval = low, high
        self._generator = np.random.default_rng(seed)
        self._started = 0
        self.running = {}
        for _ in range(count):
            self.start()

    def start(self):
        self.running[self._started] = Drift(*self._interval)
        self._started += 1

    def replace(self):
        """One ends, whichever it is, and another one starts."""
        del self.running[int(self._generator.choice(list(self.running)))]
        self.start()

    def answer(self, texts, hits):
        """Requests of so many texts, of which so many escalate, spread at random."""
        drifts = list(self.running.values())
        to = self._generator.integers(0, len(drifts), len(texts))
        for number, *request in zip(to.tolist(), texts.tolist(), hits.tolist(), strict=True):
            drifts[number].add(*request)

    def pages(self):
        return {
            replica: {(side, stake): capital for side, stake, capital in drift.wealth()}
            for replica, drift in self.running.items()
        }


def requests_of(generator, count, share, correlation=0.05, sizes=(1, 1, 1, 8)):
    """The texts and escalated texts of requests, whose texts resemble each other."""
    texts = generator.choice(np.array(sizes), count)
    spread = 1 / correlation - 1
    own = generator.beta(share * spread, (1 - share) * spread, count)
    return texts, generator.binomial(texts, own)
