"""The soak: short runs over an engine that computes nothing, and whether it would find a fault."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from serving.observability.metrics import Metrics
from tests.benchmarks.soak.flat import verdict, verdicts
from tests.benchmarks.soak.kinds import deck, kinds
from tests.benchmarks.soak.odd import GROUPS
from tests.benchmarks.soak.report import at_shares
from tests.benchmarks.soak.tally import Tally, Versions, compare
from tests.benchmarks.soak.watch import Sample
from tests.support.metric_events import CLASSIFY, answer, one_pass, text
from tests.support.processes import ROOT, clean_environ

PROGRAM = (sys.executable, "-m", "tests.benchmarks.soak", "--program", "tests.support.null_serving")
SHORT = ("--requests", "6000", "--swap-s", "0.5")
LIMIT_S = 110
LEFT = (CLASSIFY, "leave", "499")


@pytest.mark.parametrize("http_processes", ["0", "2"])
def test_every_request_of_a_short_soak_is_counted_once_and_none_is_lost(http_processes, tmp_path):
    command = [*PROGRAM, *SHORT, "--http-processes", http_processes, "--to", str(tmp_path)]
    ran = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    found = json.loads(ran.stdout.splitlines()[-1])

    assert (found["wrong"], found["faults"]) == ([], []), ran.stderr[-2000:]
    assert (ran.returncode, found["right"], found["requests"]) == (0, True, 6000)
    assert found["changes"]["versions"] > 0
    assert found["ending"]["lost"] == found["ending"]["other"] == 0 < found["ending"]["answered"]
    assert (tmp_path / "memory.png").stat().st_size > 1000


def test_the_bulk_is_of_every_kind_in_its_share():
    every = kinds()
    drawn = Counter(number for number, _ in deck(every, 0))

    assert sum(kind.weight for kind in every) == 1000
    assert set(drawn) == set(range(len(every)))
    statuses = {status for kind in every for status in kind.right}
    assert statuses == {200, 400, 401, 404, 405, 413, 415, 422, 429, 503, 504}


def page(*events):
    metrics = Metrics()
    for method, *arguments in events:
        getattr(metrics, method)(*arguments)
    return metrics.page([], 0, ready=True)[0].decode()


ANSWERED = ("record_request", CLASSIFY, "tone", 200, 0.1)
LEAVING = ("record_request", CLASSIFY, "leave", 499, 0.1)


def tally(requests=2, least=1, most=2, **sums):
    found = Tally()
    found.requests[CLASSIFY, "tone", "200"] = requests
    found.least["in mid-request"], found.most["in mid-request"] = least, most
    found.sums.update(sums)
    return found


def wrong(tally, *events, logged=3, versions=None):
    pages = (page(ANSWERED, ANSWERED), page(ANSWERED, ANSWERED, *events))
    checks = compare(tally, GROUPS, pages, versions or Versions(), logged)
    return [each.name for each in checks if not each.equal]


def test_counts_that_are_equal_are_right_also_where_a_client_left():
    assert wrong(tally(), ANSWERED, ANSWERED, LEAVING) == []
    assert wrong(tally(), ANSWERED, ANSWERED, LEAVING, LEAVING, logged=4) == []


def test_a_request_that_is_not_counted_or_counted_twice_or_elsewhere_is_found():
    name = "requests, status 200"
    elsewhere = ("record_request", CLASSIFY, "other", 200, 0.1)

    assert wrong(tally(), ANSWERED, LEAVING, logged=2) == [name]
    assert wrong(tally(), ANSWERED, ANSWERED, ANSWERED, LEAVING, logged=4) == [name]
    assert wrong(tally(), ANSWERED, elsewhere, LEAVING) == [name]


def test_a_client_that_left_and_was_not_counted_or_too_often_is_found():
    name = "clients that left, in mid-request"

    assert wrong(tally(), ANSWERED, ANSWERED, logged=2) == [name]
    assert wrong(tally(), ANSWERED, ANSWERED, *[LEAVING] * 3, logged=5) == [name]


def test_a_request_that_is_not_logged_and_a_reason_that_is_not_counted_are_found():
    refused = tally()
    refused.rejected["overloaded"] = 1

    assert wrong(tally(), ANSWERED, ANSWERED, LEAVING, logged=2) == ["lines in the log"]
    assert wrong(refused, ANSWERED, ANSWERED, LEAVING) == ["rejected, overloaded"]


def samples(rss):
    """A hundred samples whose memory is `rss` of the share of the requests."""
    return [
        Sample(10_000 * n, float(n), int(rss(n / 100)), 0, 50, 10, 5, 1000, 0, 0)
        for n in range(1, 101)
    ]


def test_texts_of_a_version_whose_series_has_gone_are_compared_too():
    guest = ("guest", "tiny", "v1")
    loaded, gone = Metrics(), Metrics()
    answered = answer(one_pass(guest, [text(guest, 1)] * 2))
    answered.family = "guest"
    loaded.record_answer(answered)
    seen = Versions()
    for metrics in (loaded, gone):
        seen.see(metrics.page([], 0, ready=True)[0].decode())
    right, short = tally(), tally()
    right.sums["versions", "guest", "v1"] = 2
    short.sums["versions", "guest", "v1"] = 1

    assert wrong(right, ANSWERED, ANSWERED, LEAVING, versions=seen) == []
    assert wrong(short, ANSWERED, ANSWERED, LEAVING, versions=seen) == ["versions with texts"]


def test_what_grows_to_the_end_is_not_flat_and_what_fills_up_at_first_is():
    growing, filling = (
        verdict("rss", samples(rss), 0.05, 8e6)
        for rss in (lambda at: 3e8 + 1e8 * at, lambda at: 3e8 + 1e8 * min(at, 0.1))
    )

    assert not growing.flat
    assert growing.low > 0
    assert growing.a_day == pytest.approx(86_400 * 1e6)
    assert filling.flat
    assert filling.a_day == 0
    assert all(each.flat for each in verdicts(samples(lambda _: 3e8)))


def test_figures_are_shown_at_shares_of_the_requests():
    shown = at_shares(samples(lambda _: 3e8), 1_000_000)

    assert [each.requests for each in shown.values()] == [10_000, 100_000, 500_000, 1_000_000]
