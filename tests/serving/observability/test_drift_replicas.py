"""All replicas judged together: seldom a false alarm, and as soon as one that answers all."""

import math

import numpy as np
import pytest

from tests.support.replicas import ALARM, Replicas, Together, requests_of

SHARE = 0.27
MINUTES, RUNS = 40, 100
# Six bets and a start each minute, so that 5 % is what Ville's inequality allows in this time.
LEVEL = math.log(6 * MINUTES / 0.05)


def usual(seed):
    """The pages of ten replicas after each minute; every fifth minute one is replaced."""
    traffic, replicas = np.random.default_rng(seed), Replicas(10, SHARE, SHARE, seed)
    for minute in range(MINUTES):
        if minute % 5 == 4:
            replicas.replace()
        replicas.answer(*requests_of(traffic, 30, SHARE))
        yield replicas.pages()


@pytest.fixture(scope="module")
def runs():
    """Usual traffic, many times."""
    return [list(usual(seed)) for seed in range(RUNS)]


def share_of_alarms(runs, judged):
    """The share of runs in which the evidence once reaches the level."""
    raised = 0
    for pages in runs:
        judge = judged()
        most = 0.0
        for page in pages:
            judge.add(page)
            most = max(most, judge.most)
        raised += most >= LEVEL
    return raised / len(runs)


class SumOfOwn:
    """The wrong way: each replica's evidence starts again by itself, and then they are added up."""

    def __init__(self):
        self._own = {}

    def add(self, pages):
        for replica, page in pages.items():
            self._own.setdefault(replica, Together()).add({replica: page})
        self._own = {replica: self._own[replica] for replica in pages}

    @property
    def most(self):
        bets = {bet for each in self._own.values() for bet in each.evidence}
        return max(
            (sum(each.evidence.get(bet, 0) for each in self._own.values()) for bet in bets),
            default=0.0,
        )


class SumOfPages(Together):
    """The wrong way: what a replica has lost goes with it, and a new one has lost nothing."""

    def add(self, pages):
        bets = next(iter(pages.values()))
        super().add({"all": {bet: sum(page[bet] for page in pages.values()) for bet in bets}})


def test_usual_traffic_to_replicas_that_come_and_go_alarms_in_at_most_5_percent(runs):
    assert share_of_alarms(runs, Together) <= 0.05


@pytest.mark.parametrize("wrong", [SumOfOwn, SumOfPages])
def test_sums_that_forget_what_single_replicas_have_lost_alarm_more_often(runs, wrong):
    assert share_of_alarms(runs, wrong) > 0.2


def minutes_until(alarmed, seed, count, share):
    """Minutes of moved traffic until an alarm, after usual traffic without one."""
    traffic, together = np.random.default_rng(seed), Together()
    replicas = Replicas(count, 0.25, 0.3, seed)
    for minute in range(-20, 400):
        if minute % 20 == 0:
            replicas.replace()
        replicas.answer(*requests_of(traffic, 20, share if minute >= 0 else SHARE))
        together.add(replicas.pages())
        if alarmed(together, replicas):
            return minute + 1
    return math.inf


def by_all(together, _replicas):
    return together.most >= ALARM


def by_one(_together, replicas):
    return any(drift.drifted for drift in replicas.running.values())


@pytest.mark.parametrize("share", [0.5, 0.4, 0.15])
def test_ten_replicas_with_a_tenth_each_alarm_nearly_as_soon_as_one_with_everything(share):
    """The same requests; each replica that is replaced loses a few of them."""
    one, ten, alone = (
        np.array([minutes_until(alarmed, seed, count, share) for seed in range(10)])
        for alarmed, count in ((by_all, 1), (by_all, 10), (by_one, 10))
    )

    assert 0 < ten.mean() <= 1.1 * one.mean() + 1
    assert np.median(alone) >= 2 * np.median(ten)
