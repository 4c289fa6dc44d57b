"""What report.json holds of a run, and what is said of it."""

import json
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadtest.analysis.deployment import deployment
from loadtest.measure.server import LoadTestError
from loadtest.report.build import build, read_report, rebuild
from loadtest.report.check_file import write_check
from loadtest.samples import read_samples
from tests.support.written_runs import ROUNDS, write_run

DEPLOY = {"rps": 600, "min_accuracy": 0.9}
DISTURBED = [("small", "open-20", 0), ("large", "open-40", 1)]


def answers(text):
    """The answers to the five questions, by their first word."""
    lines = [line.removeprefix("- ") for line in text.splitlines() if line.startswith("- ")]
    return {line.partition(" ")[0]: line for line in lines[:4]} | {"changed": lines[4]}


@pytest.mark.parametrize(
    ("price", "url", "hourly"),
    [
        ({"price_per_core_hour": 0.05}, None, 0.2),
        ({"price_per_node_hour": 0.3}, None, 0.3),
        ({"price_per_node_hour": 0.3}, "http://server", 0.3),
        ({"price_per_core_hour": 0.05}, "http://server", None),
        ({}, None, None),
    ],
)
def test_what_is_deployed_costs_its_replicas_by_the_scenarios_price(tmp_path, price, url, hourly):
    text = rebuild(write_run(tmp_path, deploy=DEPLOY | price, url=url))
    choice = read_report(tmp_path)["recommendation"]["choice"]

    assert choice["variant"] == "large"
    assert choice["replicas"] > 1
    cost = None if hourly is None else pytest.approx(choice["replicas"] * hourly)
    assert choice["cost_per_hour"] == cost
    assert f"Deploy tone/large on {choice['replicas']} replicas" in text
    assert f"replicas? {choice['replicas']} replicas." in answers(text)["How"]
    said = "Unknown." if hourly is None else f"{choice['cost_per_hour']:.3g} an hour."
    assert said in answers(text)["What"]


def test_without_traffic_to_size_for_the_report_says_what_one_replica_does(tmp_path):
    text = rebuild(write_run(tmp_path))

    assert read_report(tmp_path)["recommendation"] is None
    assert "one replica of tone/large (accuracy 0.910) handles" in text
    assert "Not asked. One handles" in answers(text)["How"]


def test_what_no_variant_can_do_is_not_recommended(tmp_path):
    text = rebuild(write_run(tmp_path, deploy=DEPLOY | {"min_accuracy": 0.95}))

    assert "Nothing measured here serves 600 requests/s" in text
    assert answers(text)["Which"].startswith(
        "Which variant? None. What would help: an accuracy of 0.905"
    )


def test_an_accuracy_that_no_variant_has_is_not_said_to_be_reached(tmp_path):
    write_run(tmp_path, deploy=DEPLOY)
    about = json.loads((tmp_path / "run.json").read_text())
    for variant in about["models"][0]["variants"]:
        variant["evaluations"] = {}
    (tmp_path / "run.json").write_text(json.dumps(about))
    text = rebuild(tmp_path)

    assert (
        "for 600 requests/s of one text with a p99 of at most 50 ms, predicted from one replica; "
        "the accuracy of at least 0.9 was not checked. Predicted without an accuracy" in text
    )
    assert "Its accuracy is unknown" in answers(text)["Which"]


def test_phases_that_do_not_count_are_counted_by_cause(tmp_path):
    text = rebuild(write_run(tmp_path, disturbed=DISTURBED))
    told = read_report(tmp_path)["validity"]

    assert told == {
        "planned": 2 * 4 * ROUNDS,
        "phases": 2 * 4 * ROUNDS,
        "excluded": 2,
        "causes": {"other programs used the machine": 2},
    }
    assert "22 of 24 phases count, 2 are left out." in answers(text)["Can"]
    assert "because other programs used the machine (2)" in answers(text)["Can"]


@pytest.mark.parametrize(
    ("p99_ms", "said"),
    [
        (12.3, "predicted from one replica. Confirmed: "),
        (math.inf, "but one replica missed what was predicted of it. Refuted: "),
    ],
)
def test_a_check_confirms_the_verdict_or_withdraws_it(tmp_path, p99_ms, said):
    write_run(tmp_path, deploy=DEPLOY)
    chosen = deployment(build(tmp_path)).chosen
    holds = math.isfinite(p99_ms)
    write_check(tmp_path, chosen, p99_ms, holds)
    text = rebuild(tmp_path)

    assert said in text
    assert ("Deploy tone/large on" in text) is holds
    measured = f"measured a p99 of {'12.3 ms' if holds else 'unanswered'} at {chosen.rate_rps:.0f}"
    assert measured in answers(text)["Can"]


def test_a_check_of_other_traffic_says_nothing_of_this(tmp_path):
    write_run(tmp_path, deploy=DEPLOY)
    chosen = replace(deployment(build(tmp_path)).chosen, rate_rps=1.0)
    write_check(tmp_path, chosen, math.inf, holds=False)

    assert "Predicted at the upper ends" in rebuild(tmp_path)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ([], "24 phases count"),
        (["tone.small.*.2.*"], "20 of 24 phases count, 4 have no raw times."),
        (["tone.small.*"], "12 of 24 phases count, 12 have no raw times."),
    ],
)
def test_an_interrupted_run_says_what_is_missing_and_predicts_nothing(tmp_path, left, said):
    write_run(tmp_path, deploy=DEPLOY)
    for path in (path for pattern in left for path in (tmp_path / "samples").glob(pattern)):
        path.unlink()
    text = rebuild(tmp_path)

    assert said in answers(text)["Can"]
    assert ("Not sure: the run ended before" in text) is bool(left)
    assert ("Predicted at the upper ends" in text) is (not left)


def test_an_older_run_is_interrupted_if_its_variants_lack_phases(tmp_path):
    write_run(tmp_path)
    about = json.loads((tmp_path / "run.json").read_text())
    del about["planned_phases"]
    (tmp_path / "run.json").write_text(json.dumps(about))
    assert "All 24 phases count" in rebuild(tmp_path)

    next((tmp_path / "samples").glob("tone.small.open-60.2.*")).unlink()
    assert "23 of 24 phases count, 1 has no raw times." in rebuild(tmp_path)


MIXED = [
    {"name": "large-requests", "kind": "open", "share": 0.01, "texts_per_request": 64},
    {"name": "even", "kind": "open", "share": 0.7, "arrivals": "constant"},
    {"name": "large-even", "kind": "open", "share": 0.02, "texts_per_request": 64,
     "arrivals": "constant"},
]  # fmt: skip


@pytest.mark.parametrize(
    ("deploy", "names"),
    [
        (None, ["open-20", "open-40", "open-60"]),
        (DEPLOY, ["open-20", "open-40", "open-60"]),
        (DEPLOY | {"texts_per_request": 64, "rps": 5}, ["large-requests"]),
    ],
)
def test_a_curve_is_of_requests_of_one_size_that_arrive_alike(tmp_path, deploy, names):
    text = rebuild(write_run(tmp_path, deploy=deploy, extra=MIXED, slo_ms=2000.0))
    told = read_report(tmp_path)

    for variant in told["variants"]:
        loads = variant["loads"]
        assert [name for name, load in loads.items() if load["on_curve"]] == names
        assert len(variant["curve"]) == len(names)
    assert told["reference_load"] in names
    unit = "5 requests/s of 64 texts" if names == ["large-requests"] else "requests/s of one text"
    assert unit in text.partition("\n")[2].partition("- Which")[0]


def test_the_series_of_a_load_hold_every_request_of_its_valid_rounds(tmp_path):
    rebuild(write_run(tmp_path, disturbed=DISTURBED))
    load = read_report(tmp_path)["variants"][1]["loads"]["open-20"]
    files = [tmp_path / "samples" / f"tone.small.open-20.{number}.0.parquet" for number in (1, 2)]
    rounds = [read_samples([file]) for file in files]
    measured = [samples.intended_s >= 0.5 for samples in rounds]
    latency_ms = np.concatenate([s.latency_ms[m] for s, m in zip(rounds, measured, strict=True)])

    edges, counts = load["histogram"]["edges_ms"], load["histogram"]["counts"]
    assert sum(counts) == sum(load["timeline"]["requests"]) == latency_ms.size
    assert edges[0] <= max(1e-3, latency_ms.min()) * 1.001
    assert latency_ms.max() <= edges[-1] * 1.001
    halfway = len(counts) // 2
    below = (latency_ms < edges[halfway]).sum()
    assert sum(counts[:halfway]) == pytest.approx(below, abs=2)
    assert set(load["timeline"]["round"]) == {1, 2}
    assert load["within_slo"] == pytest.approx((latency_ms <= 50.0).mean())


def test_a_report_says_what_changed_since_an_earlier_one(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    rebuild(write_run(before))
    assert "Not compared" in answers(rebuild(write_run(after, slowdown=1.5)))["changed"]

    text = rebuild(after, before=before)
    told = read_report(after)["changes"]

    assert {each["verdict"] for each in told["changes"] if each["load"] == "closed"} == {"worse"}
    assert answers(text)["changed"].partition(" worse")[0].split()[-1] != "0"
    assert "Since before, measured 2026-11-27" in answers(text)["changed"]
    assert "## What changed" in text


def test_a_report_says_why_it_does_not_compare_with_an_earlier_one(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    rebuild(write_run(before))
    write_run(after)
    about = json.loads((after / "run.json").read_text())
    about["scenario"]["slo_p99_ms"] = 20.0
    (after / "run.json").write_text(json.dumps(about))

    said = answers(rebuild(after, before=before))["changed"]
    assert "The reports differ in slo_p99_ms" in said


def test_phases_without_raw_times_are_counted(tmp_path):
    write_run(tmp_path, disturbed=DISTURBED[:1])
    for each in (tmp_path / "samples").glob("*.2.0.parquet"):
        each.unlink()

    said = answers(rebuild(tmp_path))["Can"]
    assert "15 of 24 phases count, 1 is left out, 8 have no raw times." in said


def test_a_server_that_answers_nothing_is_reported(tmp_path):
    write_run(tmp_path, deploy=DEPLOY)
    for each in (tmp_path / "samples").iterdir():
        table = pq.read_table(each)
        at = table.schema.get_field_index("status")
        refused = pa.array([503] * len(table), pa.int16())
        pq.write_table(table.set_column(at, table.schema.field(at), refused), each)

    assert "Nothing measured here serves 600 requests/s" in rebuild(tmp_path)


@pytest.mark.parametrize("content", ["[]", "null", "{}", "", "[" * 100_000])
def test_a_damaged_run_or_report_is_refused(tmp_path, content):
    for name in ("run.json", "report.json"):
        (tmp_path / name).write_text(content)

    for read in (build, read_report):
        with pytest.raises(LoadTestError, match=r"measure again|folder that|from a run"):
            read(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"other_cpu_share": null}'])
def test_a_damaged_figure_of_the_machine_is_named(tmp_path, content):
    write_run(tmp_path)
    damaged = tmp_path / "machine" / "tone.small.closed.0.json"
    damaged.write_text(content)

    with pytest.raises(ValueError, match="does not say what others took") as refused:
        rebuild(tmp_path)
    assert str(damaged) in str(refused.value)
