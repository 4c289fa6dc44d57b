"""What a report says first, on a machine that was disturbed."""

import copy
from dataclasses import asdict

import numpy as np
import pytest

from loadtest.analysis.compare import Change
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


@pytest.fixture(scope="module")
def sized(tmp_path_factory):
    """A report that sizes for 600 requests/s."""
    deploy = {"rps": 600, "min_accuracy": 0.9, "price_per_node_hour": 0.5}
    return build(write_run(tmp_path_factory.mktemp("run"), deploy=deploy))


def asked(told, **deploy):
    told = copy.deepcopy(told)
    told["scenario"]["deploy"] |= deploy
    return told


@pytest.mark.parametrize("slo_ms", [25.0, 30.0])
def test_no_figure_is_missed_where_a_deployment_is_predicted(tmp_path, slo_ms):
    """At 25 ms the next load above the replica's rate is beyond its capacity, and misses."""
    deploy = {"rps": 600, "min_accuracy": 0.9, "headroom": 0.05}
    told = build(write_run(tmp_path, deploy=deploy, slo_ms=slo_ms))
    found = verdict(told)
    (_, within, _) = found.figures

    assert found.certainty == "predicted"
    assert not any(each.holds is False for each in found.figures)
    is_beyond = slo_ms == 25.0
    assert ("a load beyond the capacity" in within.limit) is is_beyond
    assert (within.holds is None) is is_beyond


def test_what_is_predicted_from_one_replica_is_not_said_to_be_served(sized):
    said = text(sized)

    assert "replicas for 600 requests/s of one text with a p99" in said
    assert "predicted from one replica. Predicted at the upper ends of the p99s'" in said
    assert "Sure" not in said
    assert "serves" not in said


def test_a_choice_that_is_too_uncertain_costs_and_keeps_only_perhaps(sized):
    told = copy.deepcopy(sized)
    for variant in told["variants"]:
        for load in variant["loads"].values():
            load["latency_ms"]["p99"]["high"] = 1000.0
    found = verdict(told)
    said = verdict_text(found)

    assert found.certainty == "unsure"
    assert "What does it cost? Perhaps " in said
    assert "stays free" not in said
    assert [each.holds for each in found.figures] == [None] * 3
    assert "stays free" in text(sized)


def test_an_accuracy_that_decides_by_its_lower_end_is_said_to_do_so(sized):
    """The most accurate variant has 0.910, from 0.905."""
    said = text(asked(sized, min_accuracy=0.908))

    assert "an accuracy of at least 0.908. By the p99s themselves; accuracy by the lower" in said
    assert "How many replicas? No variant is accurate enough." in said
    assert "What does it cost? None." in said


def test_where_all_are_too_slow_no_number_of_replicas_is_enough(sized):
    told = copy.deepcopy(sized)
    told["scenario"]["slo_p99_ms"] = 0.01
    said = text(told)

    assert "How many replicas? No number is enough." in said


def test_a_rate_of_a_replica_is_said_once(sized):
    said = text(sized)
    rate_rps = sized["recommendation"]["choice"]["rate_rps"]

    assert said.count(f"{rate_rps:.0f} requests/s") == 2  # an answer and a figure
    assert "Limited by throughput: with its headroom one replica handles fewer than 600" in said


def test_findings_are_counted_by_phase(sized):
    told = copy.deepcopy(sized)
    phases = [each for variant in told["variants"] for load in variant["loads"].values()
              for each in load["rounds"]]  # fmt: skip
    for each in phases:
        each["findings"] = []
    assert "Findings" not in text(told)

    phases[0]["findings"] = ["It fell behind.", "It refused."]
    assert "Findings in 1 phase, which count" in text(told)
    phases[1]["findings"] = ["It fell behind."]
    phases[2] |= {"findings": ["It fell behind."], "refusals": ["Disturbed."]}
    assert "Findings in 2 phases, which count" in text(told)


def test_the_worst_of_the_changes_are_named_first(sized):
    ratios = [("a", 0.5, "better"), ("b", 1.2, "worse"), ("c", None, "worse"), ("d", 0.4, "worse"),
              ("e", 1.1, "none")]  # fmt: skip
    changes = [
        Change(name, "open-20", "p99, ms", 10.0, 10.0 * ratio if ratio else None, ratio, 0.01, of)
        for name, ratio, of in ratios
    ]
    told = sized | {
        "changes": {"folder": "old", "started_utc": "then", "alternated": True, "refused": None,
                    "changes": [*map(asdict, changes)]}
    }  # fmt: skip
    (said,) = (each for each in verdict(told).answers if each.question == "What changed?")

    assert [each.split()[4] for each in said.details[:3]] == ["c", "d", "b"]
    assert said.details[3] == "And 1 more, below."


@pytest.mark.parametrize(
    ("share", "value", "used", "holds"),
    [(1.0, "100.00%", 0.0, True), (0.99996, "99.99%", 0.004, True), (0.995, "99.50%", 0.5, True),
     (0.99, "99.00%", 1.0, True), (0.9867, "98.67%", 1.33, False)],
)  # fmt: skip
def test_the_share_within_the_slo_is_rounded_down_beside_the_misses_allowed(
    tmp_path, share, value, used, holds
):
    told = build(write_run(tmp_path))
    told["variants"][0]["loads"][told["reference_load"]]["within_slo"] = share
    (_, within, _) = verdict(told).figures

    assert (within.value, within.holds) == (value, holds)
    assert within.share == pytest.approx(used)
