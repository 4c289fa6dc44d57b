"""`recommend` writes only what is certain and was not refuted, whatever it says."""

import json
import math

import pytest

from loadtest import commands
from loadtest.__main__ import main
from loadtest.report.build import REPORT_VERSION
from loadtest.sizing.verify import Verification
from tests.support.reports import report

REQUIRED = ["--slo-p99-ms", "20", "--min-accuracy", "0.85", "--rps", "2000"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A report of which small is recommended, on five replicas."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "measured").mkdir()
    return told(tmp_path / "measured", report())


def told(folder, content):
    content |= {"schema_version": REPORT_VERSION, "url": None, "command": "run"}
    (folder / "report.json").write_text(json.dumps(content))
    return folder


def written(folder):
    """The names of the files beside the report and in the working folder."""
    return {path.name for path in (*folder.iterdir(), *folder.parent.glob("*.yaml"))} - {
        "report.json"
    }


def checked(monkeypatch, p99_ms):
    """Replace the measurement of `--check`, and return what was written before it."""
    before = []

    def verify(folder, *_):
        before.append(written(folder))
        return Verification(11.3, p99_ms, 400.0, 400.0, 0.2)

    monkeypatch.setattr(commands, "verify", verify)
    return before


def test_a_check_comes_before_anything_is_written(folder, monkeypatch, capsys):
    before = checked(monkeypatch, 12.0)
    assert main(["recommend", str(folder), *REQUIRED, "--check"]) == 0
    assert before == [set()]
    assert written(folder) == {"recommendation.json", "values.recommended.yaml"}
    assert "holds" in capsys.readouterr().out


@pytest.mark.parametrize(("p99_ms", "says"), [(28.5, "+152%"), (math.inf, "got no answer")])
def test_a_missed_check_writes_nothing(folder, monkeypatch, capsys, p99_ms, says):
    checked(monkeypatch, p99_ms)
    assert main(["recommend", str(folder), *REQUIRED, "--check"]) == 1
    said = capsys.readouterr().out
    assert written(folder) == set()
    assert says in said
    assert "MISSED" in said
    assert "was not written" in said
    assert "helm upgrade" not in said


def test_what_is_too_uncertain_is_not_recommended_checked_or_written(folder, monkeypatch, capsys):
    uncertain = report()
    for variant in uncertain["variants"]:
        for load in variant["loads"].values():
            load["latency_ms"]["p99"]["high"] *= 3.0
    before = checked(monkeypatch, 12.0)
    assert main(["recommend", str(told(folder, uncertain)), *REQUIRED, "--check"]) == 4
    said = capsys.readouterr().out
    assert written(folder) == set()
    assert before == []
    assert "No recommendation for 2000 requests/s" in said
    assert "tone/small on 5 replicas" in said
    assert "10 replicas would be needed" in said
