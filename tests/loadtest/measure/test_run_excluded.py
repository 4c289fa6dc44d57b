"""A run on a disturbed machine says so at once, and takes no rates from it if it can."""

import json

import numpy as np
import pytest

from loadtest.__main__ import main
from loadtest.measure import run
from loadtest.report import build
from loadtest.samples import ClientLoad, MachineLoad, RequestSample, read_samples, write_machine
from loadtest.samples import write_samples as write

pytestmark = pytest.mark.usefixtures("stand_in")

SCENARIO = """
rounds = 2
warmup_s = 0.0
measured_s = 1.0
floor = false
loads = [
  {name = "closed", kind = "closed", users = 4},
  {name = "open", kind = "open", share = 0.2},
]
"""


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Run without Locust; the phases of the given numbers are beside others.

    They have the given seconds between requests, instead of 0.01. Others take 40 % of the
    cores. The function returns the phases in order.
    """
    (tmp_path / "own.toml").write_text(SCENARIO)

    def run_with(disturbed):
        sent = []

        def run_phase(phase, _, folder, *__):
            others = len(sent) in disturbed
            gap_s = disturbed.get(len(sent), 0.01)
            sent.append(phase)
            rows = [
                RequestSample(at_s, at_s, at_s + 0.01, 200, 9, {"queue": 1.0, "engine": 2.0})
                for at_s in np.arange(0.0, phase.total_s, gap_s).tolist()
            ]
            path = folder / "samples" / f"{phase.name}.0.parquet"
            machine = folder / "machine" / f"{phase.name}.json"
            write(path, rows, phase, ClientLoad(0.0, 0.1))
            write_machine(machine, MachineLoad(0.4 if others else 0.0))
            return read_samples([path], machine)

        monkeypatch.setattr(run, "run_phase", run_phase)
        monkeypatch.setattr(build, "plots", lambda _: {})
        options = ["--registry", "one", "--out", "reports", "--variant", "fast"]
        return main(["run", "own.toml", *options]), sent

    return run_with


@pytest.mark.parametrize(("disturbed", "tries", "rate_rps"), [(0, 1, 20), (2, 3, 20), (9, 3, 2)])
def test_rates_are_shares_of_a_phase_that_counts_unless_three_do_not(
    measured, disturbed, tries, rate_rps
):
    _, sent = measured(dict.fromkeys(range(disturbed), 0.1))
    first = [phase.kind for phase in sent].index("open")

    assert first == tries
    assert sent[first].rate_rps == pytest.approx(rate_rps, rel=0.02)


def test_of_three_disturbed_tries_the_fastest_sets_the_rates_and_the_run_says_so(
    measured, tmp_path
):
    _, sent = measured({0: 0.1, 1: 0.02, 2: 0.1})
    (path,) = tmp_path.rglob("run.json")
    about = json.loads(path.read_text())
    first = next(phase for phase in sent if phase.kind == "open")

    assert first.rate_rps == pytest.approx(10, rel=0.02)
    assert about["disturbed_rates"] == list(about["saturated_rps"])


def test_the_first_phase_that_is_excluded_is_named_while_the_run_goes_on(measured, capsys):
    status, _ = measured(dict.fromkeys(range(2, 9), 0.1))
    assert status == 0
    said = capsys.readouterr()

    assert said.err.count("is excluded: Other programs took 40% of the machine's cores") == 1
    assert "closed, round 2 is excluded" in said.err
