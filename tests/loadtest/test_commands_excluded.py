"""What the commands say of a run whose phases were all excluded."""

import json

import numpy as np
import pytest

from loadtest.__main__ import main
from loadtest.report.build import REPORT_VERSION
from tests.support.disturbed import disturbed_report

REQUIRED = ["--slo-p99-ms", "20", "--min-accuracy", "0.85", "--rps", "2000"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = disturbed_report(np.random.default_rng(1), lambda *_: True)
    content |= {"schema_version": REPORT_VERSION, "url": None, "command": "run"}
    (tmp_path / "report.json").write_text(json.dumps(content))
    return tmp_path


def test_a_recommendation_is_uncertain_and_not_impossible(folder, capsys):
    assert main(["recommend", str(folder), *REQUIRED]) == 4
    assert {path.name for path in folder.iterdir()} == {"report.json"}
    assert "too many phases were excluded" in capsys.readouterr().out


def test_a_simulation_asks_for_another_measurement_and_not_for_another_scenario(folder, capsys):
    assert main(["simulate-scaling", str(folder), "--variant", "small"]) == 2
    said = capsys.readouterr().err
    assert "small has loads without a valid round" in said
    assert "slower open ones" not in said


def test_a_run_compared_with_itself_is_unknown(folder, capsys):
    assert main(["compare", str(folder), str(folder)]) == 3
    assert "0 worse, 0 better" in capsys.readouterr().out
