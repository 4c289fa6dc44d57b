"""What a report says first, on a machine that was disturbed."""

import numpy as np
import pytest

from loadtest.report.build import build
from loadtest.report.one_replica import is_unmeasured
from loadtest.report.verdict import verdict, verdict_text
from tests.support.disturbed import disturbed_report
from tests.support.written_runs import write_run


def text(told):
    return verdict_text(verdict(told))


def reported(is_disturbed, slo_ms=50.0):
    return disturbed_report(np.random.default_rng(1), is_disturbed, slo_ms)


def test_if_every_phase_was_disturbed_nothing_is_known_rather_than_too_slow():
    told = reported(lambda *_: True)
    said = text(told)

    assert all(is_unmeasured(variant) for variant in told["variants"])
    assert "Whether a variant keeps a p99 of at most 50 ms is unknown" in said
    assert "0 of 27 phases count, 27 are left out" in said
    assert "No variant kept" not in said


def test_a_variant_of_which_nothing_is_known_is_named_beside_what_is():
    said = text(reported(lambda name, *_: name == "large"))

    assert "one replica of tone/small" in said
    assert "18 of 27 phases count, 9 are left out" in said
    assert "Of tone/large no rate is known" in said


@pytest.mark.parametrize(
    ("disturbed_share", "unmeasured"), [(0.2, True), (0.4, True), (0.6, False)]
)
def test_only_a_lower_rate_than_those_that_were_too_slow_might_have_been_kept(
    disturbed_share, unmeasured
):
    """At an SLO below all p99s; the lowest of the rates with a valid round decides."""
    told = reported(lambda _, share, __: share <= disturbed_share < 0.5, slo_ms=2.0)

    assert not any(variant["within_slo"] for variant in told["variants"])
    assert all(is_unmeasured(variant) is unmeasured for variant in told["variants"])
    assert ("is unknown" in text(told)) is unmeasured


def test_without_excluded_phases_the_verdict_says_nothing_of_them():
    assert "left out" not in text(reported(lambda *_: False))


def test_what_is_too_uncertain_to_deploy_is_said_to_be_so(tmp_path):
    told = build(write_run(tmp_path, deploy={"rps": 2000, "min_accuracy": 0.85}))
    small = told["variants"][1]
    for load in small["loads"].values():
        load["latency_ms"]["p99"]["high"] = 1000.0
    told["variants"] = [small]
    said = text(told)

    assert said.startswith("Measure again before you deploy: tone/small on 5 replicas might serve")
    assert "Not sure: the 95 % intervals are too wide." in said
    assert "Perhaps 5 replicas. At the upper bounds of the p99s, no number would be enough." in said


def test_a_p99_that_falls_on_requests_without_an_answer_misses_the_slo(tmp_path):
    told = build(write_run(tmp_path))
    load = told["variants"][0]["loads"][told["reference_load"]]
    load["latency_ms"]["p99"]["value"] = None
    (p99, _, _) = verdict(told).figures

    assert (p99.value, p99.holds) == ("unanswered", False)
