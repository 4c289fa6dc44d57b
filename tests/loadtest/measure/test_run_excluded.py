"""A run that measures nothing on a disturbed machine says so at once, and once."""

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
def disturbed(tmp_path, monkeypatch):
    """Phases without Locust, from the third on beside programs that take 40 % of the cores."""
    (tmp_path / "own.toml").write_text(SCENARIO)
    sent = []

    def run_phase(phase, _, folder, *__):
        sent.append(phase)
        rows = [
            RequestSample(at_s, at_s, at_s + 0.01, 200, 9, {"queue": 1.0, "engine": 2.0})
            for at_s in np.arange(0.0, phase.total_s, 0.02).tolist()
        ]
        path = folder / "samples" / f"{phase.name}.0.parquet"
        machine = folder / "machine" / f"{phase.name}.json"
        write(path, rows, phase, ClientLoad(0.0, 0.1))
        write_machine(machine, MachineLoad(0.4 if len(sent) > 2 else 0.0))
        return read_samples([path], machine)

    monkeypatch.setattr(run, "run_phase", run_phase)
    monkeypatch.setattr(build, "plots", lambda _: {})
    return sent


@pytest.mark.usefixtures("disturbed")
def test_the_first_phase_that_is_excluded_is_named_while_the_run_goes_on(capsys):
    assert main(["run", "own.toml", "--registry", "one", "--out", "reports", "--variant", "fast"]) == 0
    said = capsys.readouterr()

    assert said.err.count("is excluded: Other programs took 40% of the machine's cores") == 1
    assert "closed, round 2 is excluded" in said.err
