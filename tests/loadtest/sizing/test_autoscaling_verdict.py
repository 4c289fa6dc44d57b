"""What is said of simulated signals follows from what each missed and cost."""

import json
import re

import pytest

from loadtest.__main__ import main
from loadtest.analysis.replica_curve import replica_curve, scaling_targets
from loadtest.report.build import REPORT_VERSION
from loadtest.sizing.autoscaling import (
    SimulatedSecond,
    Simulation,
    SimulationConfig,
    scaling_signals,
    simulate,
)
from loadtest.sizing.autoscaling_verdict import best_signal, verdict_text
from tests.support.reports import report, variant

SMALL = variant("small", 0.86, 800.0, 4.0)
CURVE, FOUND = replica_curve(SMALL), scaling_targets(SMALL, 20.0, 0.2)
SIGNALS = scaling_signals(FOUND, CURVE, 0.7)


def simulation(missed, replicas, seconds=3600):
    """An hour at 100 requests/s of which a share is missed."""
    second = SimulatedSecond(100.0, 100.0, 0.0, 100.0 * missed, 0.0, replicas, replicas)
    return Simulation([second] * seconds, 0.0)


@pytest.mark.parametrize(
    ("ours", "cpu", "best", "says"),
    [
        ((0.004, 10), (0.03, 6), "ours", "The chart does so"),
        ((0.004, 10), (0.004, 6), "CPU", "The chart's signal, ours, keeps it too"),
        ((0.03, 10), (0.004, 12), "CPU", "The chart's signal, ours, does not keep it"),
        ((0.03, 10), (0.02, 12), "CPU", "No signal keeps the p99"),
    ],
)
def test_the_cheapest_signal_that_keeps_the_p99_is_named(ours, cpu, best, says):
    played = {"ours": simulation(*ours), "CPU": simulation(*cpu)}
    said = verdict_text(played, largest=30)
    assert best_signal(played).signal == best
    assert says in said
    missed, _ = {"ours": ours, "CPU": cpu}[best]
    assert f"{missed:.2%} missed" in said


def played_over(rates, largest=30):
    config = SimulationConfig(CURVE, 0.02, smallest=2, largest=largest, first=4, start_s=13.0)
    return {name: simulate(rates, config, signal) for name, signal in SIGNALS.items()}


def test_the_verdict_differs_with_the_trace():
    """It was one and the same sentence for all."""
    steady = [4 * FOUND.rate_rps] * 900
    flash = [*steady, *[12 * FOUND.rate_rps] * 300]
    crowd, calm = (verdict_text(played_over(rates), 30) for rates in (flash, steady))
    assert crowd != calm
    full = verdict_text(played_over([9 * FOUND.rate_rps] * 900, largest=4), 4)
    assert "No signal keeps the p99" in full
    assert "all 4 replicas were in use: raise --max-replicas" in full


@pytest.fixture
def folder(tmp_path):
    told = report() | {"schema_version": REPORT_VERSION, "variants": [SMALL | {"ready_s": None}]}
    told["scenario"] = {"slo_p99_ms": 20.0}
    (tmp_path / "report.json").write_text(json.dumps(told))
    return tmp_path


def test_the_command_ends_with_the_verdict(folder, capsys):
    (folder / "trace.csv").write_text("seconds,requests_per_s\n0,500\n600,5000\n")
    trace = ["--trace", str(folder / "trace.csv")]
    assert main(["simulate-scaling", str(folder), "--variant", "small", *trace]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^(Scale on .* keeps the p99|No signal keeps the p99)", said, re.MULTILINE)


@pytest.mark.parametrize(
    "bounds",
    [
        ["--min-replicas", "8", "--max-replicas", "3"],
        ["--min-replicas", "0"],
        ["--max-replicas", "1"],
    ],
)
def test_bounds_without_a_number_between_them_are_refused(folder, capsys, bounds):
    assert main(["simulate-scaling", str(folder), "--variant", "small", *bounds]) == 2
    said = capsys.readouterr().err
    assert "an autoscaler needs 1 <= minimum <= maximum" in said
    assert "--max-replicas" in said
