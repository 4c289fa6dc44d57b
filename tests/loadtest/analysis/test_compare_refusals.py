"""A server that starts to refuse or to stall is worse, in however few of the rounds."""

import numpy as np
import pytest

from loadtest.analysis.compare import compare
from loadtest.analysis.summary import combine
from tests.support.queues import phase, samples, served
from tests.support.reports import report

LOST = {"open": "p99_ms", "closed": "achieved_rps"}


def with_lost_rounds(count, kind, seed=0):
    """A report whose loads of a kind have no figure in so many rounds."""
    told = report(seed=seed)
    for variant in told["variants"]:
        for load in variant["loads"].values():
            if load["kind"] == kind:
                for each in load["rounds"][:count]:
                    each[LOST[kind]] = None if kind == "open" else 0.0
    return told


def changed(before, after, figure):
    return {each.verdict for each in compare(before, after) if each.figure == figure}


@pytest.mark.parametrize("alternation", [None, "one"])
@pytest.mark.parametrize(("kind", "figure"), [("open", "p99, ms"), ("closed", "achieved/s")])
@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_a_figure_lost_in_two_or_more_of_five_rounds_is_worse(count, kind, figure, alternation):
    """By a t-test alone, 30 s beside 10 ms hid each of the twelve p99s in 2, 3 or 4 rounds."""
    before = report(seed=1) | {"alternation": alternation}
    after = with_lost_rounds(count, kind) | {"alternation": alternation}
    assert changed(before, after, figure) == {"worse"}
    assert changed(after, before, figure) == {"better"}


@pytest.mark.parametrize(("before", "after"), [(0, 1), (1, 0), (1, 1), (1, 2), (3, 3), (5, 5)])
def test_a_figure_lost_in_one_round_more_may_be_the_machines(before, after):
    told = with_lost_rounds(before, "open", seed=1), with_lost_rounds(after, "open")
    assert {each.verdict for each in compare(*told)} == {"none"}


def refusing(random, of, share):
    """A phase on an M/M/1 server of 500 requests/s that refuses a share at once."""
    kept = served(random, of, 500.0)
    refused = random.random(kept.status.size) < share
    end_s = np.where(refused, kept.intended_s, kept.end_s)
    return samples(of, kept.intended_s, end_s, status=np.where(refused, 429, 200))


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        ([0.75, 0.0, 0.0, 0.0, 0.0], "worse"),  # 15 % of all: the server does not keep up
        ([0.03, 0.03, 0.0, 0.0, 0.0], "worse"),
        ([0.03, 0.0, 0.0, 0.0, 0.0], "none"),
        ([0.005] * 5, "none"),
    ],
)
def test_what_is_refused_of_the_rounds_together_counts(shares, verdict):
    random = np.random.default_rng(7)
    phases = [phase(200.0, number=number) for number in range(5)]
    told = report(), report()
    for each, refused in zip(told, ([0.0] * 5, shares), strict=True):
        rounds = [refusing(random, *pair) for pair in zip(phases, refused, strict=True)]
        each["variants"][0]["loads"] = {"open-40%": combine(rounds, 50.0).as_json()}
    found = [
        each for each in compare(*told) if (each.variant, each.figure) == ("tone/large", "p99, ms")
    ]
    assert [each.verdict for each in found] == [verdict]


def test_a_ramp_goes_beyond_the_capacity_on_purpose():
    told = report(), report(seed=1)
    for each, kept_up in zip(told, (True, False), strict=True):
        each["variants"][0]["loads"]["open-80%"] |= {"arrivals": "ramp", "sustained": kept_up}
    assert {each.verdict for each in compare(*told)} == {"none"}
