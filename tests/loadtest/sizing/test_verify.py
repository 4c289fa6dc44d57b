"""When the check of a recommendation holds, on simulated servers."""

import dataclasses
import math

import numpy as np
import pytest

from loadtest.analysis.recommendation import SizingRequirements, recommend
from loadtest.measure.server import LoadTestError
from loadtest.report.check_file import read_check, write_check
from loadtest.scenario import Load, Scenario
from loadtest.sizing import verify
from tests.support.queues import phase, samples, served
from tests.support.reports import report

RATE_RPS, CAPACITY_RPS, RUNS = 30.0, 60.0, 150
P99_MS = 1e3 * math.log(100.0) / (CAPACITY_RPS - RATE_RPS)  # of a stationary M/M/1 queue
SCENARIO = Scenario(loads=[Load(name="open", kind="open", rate_rps=1.0)])


@pytest.fixture
def check(monkeypatch, tmp_path):
    """Check the prediction on a simulated server; return what was found, and the seeds."""
    random = np.random.default_rng(2)
    chosen = dataclasses.replace(
        recommend(report(), SizingRequirements(20.0, 0.85, 2000.0)).chosen,
        rate_rps=RATE_RPS,
        p99_ms=P99_MS,
    )
    told = report() | {"url": None, "command": "", "scenario": SCENARIO.model_dump(mode="json")}

    def check(serve):
        seeds = []
        monkeypatch.setattr(verify, "run", lambda scenario, *_, **__: seeds.append(scenario.seed))
        monkeypatch.setattr(verify, "read_rounds", lambda *_: rounds(serve))
        return verify.verify(tmp_path, told, chosen), seeds

    def rounds(serve):
        of = [phase(RATE_RPS, number=number, measured_s=15.0) for number in range(3)]
        return [serve(random, each) for each in of]

    return check


def mm1(capacity_rps):
    return lambda random, of: served(random, of, capacity_rps)


@pytest.mark.slow
def test_a_correct_prediction_is_seldom_missed(check):
    """Of 400 checks by the p99 of three rounds alone 9 % missed, now 0.3 %; the bound is 5."""
    found = [check(mm1(CAPACITY_RPS))[0] for _ in range(RUNS)]
    assert np.mean([not each.holds for each in found]) <= 0.05


@pytest.mark.slow
def test_a_server_with_twice_the_p99_is_found(check):
    """Three rounds alone find all, now 99 % of 400 checks do."""
    twice = mm1(RATE_RPS + (CAPACITY_RPS - RATE_RPS) / 2.0)
    found = [check(twice)[0] for _ in range(RUNS)]
    assert np.mean([not each.holds for each in found]) >= 0.95


def test_every_time_has_other_arrivals(check):
    _, seeds = next(each for each in iter(lambda: check(mm1(45.0)), None) if len(each[1]) > 1)
    assert seeds == [3 * time for time in range(len(seeds))]


def test_what_is_clear_is_measured_once(check):
    def refused(random, of):
        kept = served(random, of, CAPACITY_RPS)
        return samples(of, kept.intended_s, kept.end_s, status=np.full(kept.status.size, 429))

    for serve, holds in [(mm1(100.0), True), (mm1(20.0), False), (refused, False)]:
        found, seeds = check(serve)
        assert (found.holds, len(seeds)) == (holds, 1)


def test_the_check_sends_requests_as_large_as_those_that_were_measured(monkeypatch, tmp_path):
    told = report() | {"url": None, "command": "", "scenario": SCENARIO.model_dump(mode="json")}
    for variant in told["variants"]:
        for load in variant["loads"].values():
            load["texts_per_request"] = 4
    chosen = recommend(told, SizingRequirements(20.0, 0.85, 2000.0)).chosen
    sent = []
    monkeypatch.setattr(verify, "run", lambda scenario, *_, **__: sent.extend(scenario.loads))
    monkeypatch.setattr(
        verify, "read_rounds", lambda *_: [served(np.random.default_rng(1), phase(10.0), 900.0)]
    )
    verify.verify(tmp_path, told, chosen)

    assert {(each.texts_per_request, each.rate_rps) for each in sent} == {(4, chosen.rate_rps)}


@pytest.mark.parametrize("holds", [True, False])
def test_the_outcome_is_kept_for_this_choice_at_this_rate(check, tmp_path, holds):
    found, _ = check(mm1(CAPACITY_RPS if holds else RATE_RPS + 4.0))
    chosen = dataclasses.replace(
        recommend(report(), SizingRequirements(20.0, 0.85, 2000.0)).chosen, rate_rps=RATE_RPS
    )
    kept = read_check(tmp_path, chosen)

    assert (kept["holds"], kept["p99_ms"]) == (holds, found.p99_ms)
    assert read_check(tmp_path, dataclasses.replace(chosen, variant="large")) is None
    assert read_check(tmp_path, dataclasses.replace(chosen, rate_rps=RATE_RPS + 1.0)) is None
    assert read_check(tmp_path, None) is None


def test_a_check_without_an_answer_is_kept_and_a_damaged_file_refused(tmp_path):
    chosen = recommend(report(), SizingRequirements(20.0, 0.85, 2000.0)).chosen
    write_check(tmp_path, chosen, math.inf, holds=False)
    assert read_check(tmp_path, chosen)["p99_ms"] is None

    (tmp_path / "check.json").write_text("{}")
    with pytest.raises(LoadTestError, match=r"check\.json is damaged: delete it"):
        read_check(tmp_path, chosen)
