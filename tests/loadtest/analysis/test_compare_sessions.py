"""A comparison finds changes of the server, not of the machine's speed from day to day."""

from functools import partial

import pytest

from loadtest.analysis.compare import compare
from tests.support.reports import report
from tests.support.sessions import alternated, separate, share_worse

RUNS = 150
FALSE_ALARMS = 0.05  # the bound: Holm's correction promises 5 % over all figures of a run


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.03, 0.05])
@pytest.mark.parametrize("draw", [separate, alternated])
def test_one_server_measured_twice_is_worse_in_at_most_5_percent_of_runs(draw, noise):
    """With each run's own noise alone, 46 and 48 % of separate runs had something worse."""
    found = share_worse(compare, partial(draw, session_noise=noise), RUNS, seed=1)
    assert found <= FALSE_ALARMS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draw", "slower", "rounds"), [(separate, 1.5, 5), (alternated, 1.2, 5), (alternated, 1.1, 10)]
)
def test_a_slower_server_is_found(draw, slower, rounds):
    """In alternation a tenth shows; two separate sessions show only what no day explains."""
    changed = partial(draw, session_noise=0.04, slower=slower, rounds=rounds)
    assert share_worse(compare, changed, 60, seed=2) >= 0.8


def test_latencies_at_other_rates_are_not_compared():
    after = report()
    after["variants"][0]["loads"]["open-80%"]["rate_rps"] *= 1.04
    unknown = [change for change in compare(report(), after) if change.verdict == "unknown"]
    assert {(each.variant, each.load) for each in unknown} == {("tone/large", "open-80%")}


def test_a_variant_that_the_second_report_lacks_is_missing():
    after = report()
    lost = after["variants"].pop(0)
    found = compare(report(), after)
    assert [(each.variant, each.verdict) for each in found if each.verdict != "none"] == [
        (f"tone/{lost['variant']}", "missing")
    ]
    turned = compare(after, report())
    assert {each.verdict for each in turned if each.variant == "tone/large"} == {"new"}


@pytest.mark.parametrize(("accuracy", "verdict"), [(0.90, "none"), (0.896, "none"), (0.8, "worse")])
def test_a_loss_of_accuracy_is_a_regression_like_a_loss_of_speed(accuracy, verdict):
    after = report()
    after["variants"][0]["accuracy"] = {
        "value": accuracy, "low": accuracy - 0.014, "high": accuracy + 0.014,
    }  # fmt: skip
    before = report()
    before["variants"][0]["accuracy"] = {"value": 0.90, "low": 0.886, "high": 0.914}
    (found,) = (
        each
        for each in compare(before, after)
        if (each.variant, each.figure) == ("tone/large", "accuracy")
    )
    assert (found.verdict, found.after) == (verdict, accuracy)


def test_an_accuracy_that_is_no_longer_known_is_missing():
    after = report()
    after["variants"][1]["accuracy"] = None
    (found,) = (each for each in compare(report(), after) if each.verdict != "none")
    assert (found.variant, found.figure, found.verdict) == ("tone/small", "accuracy", "missing")


@pytest.mark.parametrize(
    ("part", "change", "name"),
    [
        ("scenario", {"measured_s": 1.0}, "measured_s"),
        ("scenario", {"deadline_ms": 100}, "deadline_ms"),
        ("machine", {"cpu": "another"}, "cpu"),
        ("machine", {"cores": 64}, "cores"),
    ],
)
def test_reports_of_different_scenarios_or_machines_are_refused_by_name(part, change, name):
    after = report()
    after[part] = after[part] | change
    with pytest.raises(ValueError, match=f"differ in {name}, so"):
        compare(report(), after)


def test_more_rounds_of_one_scenario_are_no_difference():
    after = report()
    after["scenario"] |= {"rounds": 9}
    assert {each.verdict for each in compare(report(), after)} == {"none"}


def test_a_server_that_begins_to_refuse_is_worse():
    after = report(seed=1)
    for each in after["variants"][0]["loads"]["open-80%"]["rounds"]:
        each["p99_ms"] = None
    (found,) = (each for each in compare(report(), after) if each.verdict != "none")
    assert (found.load, found.figure, found.verdict) == ("open-80%", "p99, ms", "worse")
