"""Two servers measured in turn, at the rates of the first."""

import json

import numpy as np
import pytest

from loadtest.__main__ import main
from loadtest.measure import run
from loadtest.report import build
from loadtest.report.build import read_report
from loadtest.samples import ClientLoad, RequestSample, read_samples, write_samples

pytestmark = pytest.mark.usefixtures("stand_in")

SCENARIO = """
rounds = 3
warmup_s = 0.0
measured_s = 2.0
floor = false
loads = [
  {name = "closed", kind = "closed", users = 4},
  {name = "open", kind = "open", share = 0.2},
]
"""
FIRST_RPS = 99.5  # of a hundred, one is answered after the end
OPTIONS = ["--scenario", "own.toml", "--out", "reports", "--variant", "fast"]


@pytest.fixture
def phases(tmp_path, monkeypatch):
    """The phases in order, without Locust: the second side's server is a tenth faster."""
    (tmp_path / "own.toml").write_text(SCENARIO)
    sent = []

    def run_phase(phase, _, folder, *__):
        side = "after" if folder.name.endswith("-after") else "before"
        sent.append((side, phase))
        rate_rps = phase.rate_rps or {"before": 100.0, "after": 110.0}[side]
        rows = [
            RequestSample(at_s, at_s, at_s + 0.01, 200, 9, {"queue": 1.0, "engine": 2.0})
            for at_s in np.arange(0.0, phase.total_s, 1.0 / rate_rps).tolist()
        ]
        path = folder / "samples" / f"{phase.name}.0.parquet"
        write_samples(path, rows, phase, ClientLoad(0.0, 0.1))
        return read_samples([path])

    monkeypatch.setattr(run, "run_phase", run_phase)
    monkeypatch.setattr(build, "plots", lambda _: {})  # they take longer than all else
    return sent


def test_each_round_measures_both_sides_in_turn_at_the_rates_of_the_first(tmp_path, phases, capsys):
    assert main(["alternate", "before", "after", *OPTIONS]) == 0
    said = capsys.readouterr().out
    folders = {each.name.rpartition("-")[2]: each for each in (tmp_path / "reports").iterdir()}
    before, after = (read_report(folders[side]) for side in ("before", "after"))

    order = [(side, phase.round) for side, phase in phases if phase.kind == "closed"]
    assert order == [
        ("before", 0), ("after", 0), ("after", 1), ("before", 1), ("before", 2), ("after", 2),
    ]  # fmt: skip
    assert {phase.rate_rps for _, phase in phases if phase.kind == "open"} == {0.2 * FIRST_RPS}
    assert before["alternation"] == after["alternation"] is not None
    assert "changes" not in before
    assert after["changes"]["alternated"]
    assert "1 better" in said
    assert "one session each" not in said


@pytest.mark.usefixtures("phases")
def test_the_newest_report_after_an_alternated_run_is_that_of_the_second_side(tmp_path, capsys):
    assert main(["alternate", "before", "after", *OPTIONS]) == 0
    main(["recommend", "--slo-p99-ms", "20", "--min-accuracy", "0.1", "--rps", "10"])
    (after,) = (tmp_path / "reports").glob("*after")
    assert f"From {after.relative_to(tmp_path)}." in capsys.readouterr().out


def test_a_later_run_at_the_rates_of_an_earlier_one_is_compared_as_a_session_of_its_own(
    tmp_path, phases, capsys
):
    measured = ["run", "own.toml", "--registry", "registry", "--variant", "fast", "--out"]
    assert main([*measured, "reports"]) == 0
    (first,) = (tmp_path / "reports").iterdir()
    assert main([*measured, "later", "--rates-of", str(first)]) == 0
    (later,) = (tmp_path / "later").iterdir()

    assert {phase.rate_rps for _, phase in phases if phase.kind == "open"} == {0.2 * FIRST_RPS}
    assert main(["compare", str(first), str(later)]) == 0
    assert "one session each" in capsys.readouterr().out
    changes = read_report(later)["changes"]
    assert (changes["folder"], changes["alternated"]) == (first.name, False)
    assert {change["verdict"] for change in changes["changes"]} == {"none"}


def test_a_report_is_not_compared_with_a_folder_without_one(tmp_path, phases, capsys):
    assert main(["run", "own.toml", "--registry", "registry", "--variant", "fast"]) == 0
    (folder,) = (tmp_path / "reports").iterdir()
    assert phases
    assert main(["report", str(folder), "--before", "nowhere"]) == 2
    assert "nowhere has no report.json" in capsys.readouterr().err


def test_rates_of_a_folder_without_any_are_refused(tmp_path, phases, capsys):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "run.json").write_text(json.dumps({"schema_version": 2}))
    assert main(["run", "own.toml", "--rates-of", "old"]) == 2
    assert "old has no rates" in capsys.readouterr().err
    assert phases == []
