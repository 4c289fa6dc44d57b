"""Phases of load against a small real HTTP server whose behaviour is known."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from loadtest.analysis.summary import combine, summarise
from loadtest.measure.choice import Choice, available_choices, check_stages
from loadtest.measure.locust_phase import run_phase, wait_for_files
from loadtest.measure.server import LoadTestError, request_json
from loadtest.measure.workload import poisson_arrivals_s
from loadtest.samples import Phase
from loadtest.scenario import Load, Scenario
from tests.support.lenient_criteria import REFUSE_NOTHING

SCENARIO = Scenario(loads=[Load(name="closed", kind="closed", users=4)])
SLO_MS = 50.0


def phase(variant, kind="closed", measured_s=1.0, **changes):
    about = {
        "load": kind, "round": 0, "users": 4 if kind == "closed" else 1, "arrivals": "poisson",
        "rate_rps": 40.0, "trace": None, "texts_per_request": 1, "deadline_ms": None,
        "warmup_s": 0.5, "seed": 1,
    }  # fmt: skip
    return Phase("tone", variant, kind=kind, measured_s=measured_s, **about | changes)


@pytest.mark.parametrize("kind", ["closed", "open"])
def test_every_request_that_the_server_saw_is_in_the_file(tmp_path, url, kind):
    found = run_phase(phase("fast", kind), url, tmp_path, SCENARIO)
    assert found.status.size == request_json(f"{url}/seen")["requests"] > 20
    assert (found.status == 200).all()
    assert (found.latency_ms >= 5.0).all()
    assert np.median(found.latency_ms) < 35.0  # Nagle would make it 45
    assert np.unique(found.server_ms["engine"]).tolist() == [1.5]


@pytest.mark.parametrize("kind", ["closed", "open"])
def test_two_processes_send_what_one_would(tmp_path, url, kind):
    two = SCENARIO.model_copy(update={"processes": 2})
    asked = phase("fast", kind, arrivals="constant", rate_rps=40.0, measured_s=1.5)
    found = run_phase(asked, url, tmp_path, two)
    assert len(list((tmp_path / "samples").iterdir())) == 2
    assert found.status.size == request_json(f"{url}/seen")["requests"]
    if kind == "open":
        assert sorted(found.intended_s) == pytest.approx(np.arange(0.0, 2.0, 0.025))
    else:
        assert np.max(np.sum(found.start_s[:, None] < found.end_s, axis=0)) > 2


def test_a_worker_that_writes_after_the_master_has_ended_is_waited_for(tmp_path):
    (tmp_path / "samples").mkdir()
    first, second = (tmp_path / "samples" / f"a.b.c.0.{n}.parquet" for n in range(2))
    first.touch()
    late = threading.Timer(0.3, second.touch)
    late.start()

    assert wait_for_files(tmp_path, "a.b.c.0", 2) == [first, second]
    late.join()


def test_a_closed_phase_keeps_its_users_busy_and_no_more(tmp_path, url):
    found = run_phase(phase("slow", users=4), url, tmp_path, SCENARIO)
    in_flight = [
        np.sum((found.start_s <= at) & (found.end_s > at)) for at in np.arange(0.6, 1.4, 0.05)
    ]
    assert max(in_flight) <= 4
    figures = summarise(found, SLO_MS)
    assert figures.achieved_rps <= 4 / 0.02
    assert figures.requests + np.sum(found.intended_s < 0.5) == found.status.size


def test_a_stall_shows_in_an_open_phase_as_the_backlog_it_is(tmp_path, url):
    stalled = phase("stalls", "open", measured_s=3.0, rate_rps=60.0)
    found = run_phase(stalled, url, tmp_path, SCENARIO)
    assert found.latency_ms.max() > 900.0
    # A request that arrives within the stalled second waits for its end: half of it on average.
    assert 15 <= np.sum(found.latency_ms > 500.0) <= 50
    # The schedule goes on meanwhile.
    due_s = poisson_arrivals_s(60.0, stalled.total_s, stalled.seed)
    assert np.sort(found.intended_s) == pytest.approx(due_s)
    assert np.all(found.start_s >= found.intended_s)
    assert np.median(found.start_s - found.intended_s) < 0.1


def test_a_stall_hits_each_user_of_a_closed_phase_only_once(tmp_path, url):
    found = run_phase(phase("stalls", measured_s=2.5, users=2), url, tmp_path, SCENARIO)
    assert np.sum(found.latency_ms > 500.0) == 2


def test_a_starved_client_is_refused(tmp_path, url):
    """A client on a core that another process of high priority keeps busy."""
    burn = [sys.executable, "-c", "import os\nos.sched_setaffinity(0, {0})\nwhile True: pass"]
    burning = [subprocess.Popen(burn) for _ in range(6)]
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {0})  # what Locust inherits
        found = run_phase(phase("fast", "open", rate_rps=150.0), url, tmp_path, SCENARIO)
    finally:
        os.sched_setaffinity(0, cores)
        for process in burning:
            process.kill()
            process.wait()
    refusals = summarise(found, SLO_MS).refusals
    assert any("client" in reason for reason in refusals)


def test_errors_are_counted_by_status(tmp_path, url):
    figures = summarise(run_phase(phase("refuses"), url, tmp_path, SCENARIO), SLO_MS)
    assert figures.status["429"] / figures.requests == pytest.approx(0.25, abs=0.05)


def test_a_connection_that_is_cut_counts_as_no_answer(tmp_path, url):
    found = run_phase(phase("hangs up", users=1), url, tmp_path, SCENARIO)
    assert set(found.status) == {0}


@pytest.mark.parametrize(("choice", "share"), [("brownout", 0.25), ("auto", 0.0)])
def test_texts_that_were_answered_degraded_are_counted_by_who_answered(
    tmp_path, url, choice, share
):
    asked = phase(choice, measured_s=0.5, texts_per_request=2)
    found = run_phase(asked, url, tmp_path, SCENARIO)
    degraded = combine([found], SLO_MS, REFUSE_NOTHING.thresholds).degraded
    assert degraded == pytest.approx({"fast": share} if share else {}, abs=0.05)


def test_a_server_that_refuses_the_cascade_is_not_measured_as_one(url):
    with pytest.raises(LoadTestError, match="the server refuses the cascade of tone"):
        check_stages(url, Choice("tone", "auto", ("fast", "slow")))


def test_a_model_of_pairs_is_sent_pairs(tmp_path, url):
    (tmp_path / "own.txt").write_text("one\nleft\tright\nthree\n")
    own = SCENARIO.model_copy(update={"texts": tmp_path / "own.txt"})
    check_stages(url, Choice("tone", "fast", ("fast",), pairs=True))
    run_phase(phase("fast", measured_s=0.3, pairs=True), url, tmp_path, own)

    seen = {tuple(pair) for pair in request_json(f"{url}/seen")["texts"]}

    assert seen == {("Good.", "Bad."), ("one", "left"), ("left", "right"), ("three", "one")}


def listed(variant, **changes):
    return {"variant": variant, "version": "0", "state": "ready"} | changes


def test_a_model_of_numbers_is_skipped_with_the_reason(capsys):
    models = [
        {
            "model": "own",
            "variants": [
                listed("two", pairs=True, tensors=[]),
                listed("rows", pairs=False, tensors=[{"name": "x"}]),
            ],
        }
    ]

    (choice,) = available_choices(models, None, None)

    assert (choice.variant, choice.pairs) == ("two", True)
    assert "own/rows is skipped: it reads rows of numbers" in capsys.readouterr().out


def test_a_server_with_nothing_to_measure_is_refused_with_the_reason():
    models = [{"model": "own", "variants": [listed("rows", tensors=[{"name": "x"}])]}]

    with pytest.raises(LoadTestError, match="no variant can be measured: it reads rows of numbers"):
        list(available_choices(models, None, None))


def test_own_texts_are_what_is_sent(tmp_path, url):
    (tmp_path / "own.txt").write_text("one\ntwo\nthree\n")
    own = SCENARIO.model_copy(update={"texts": tmp_path / "own.txt"})
    run_phase(phase("fast", measured_s=0.3, texts_per_request=2), url, tmp_path, own)
    seen = request_json(f"{url}/seen")
    assert set(seen["texts"]) == {"one", "two", "three"}
    assert len(seen["texts"]) == 2 * seen["requests"]
