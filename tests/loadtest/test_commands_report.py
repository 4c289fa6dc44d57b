"""What `run` and `report` do with an earlier report, and what they say to do next."""

import json
import shlex

import pytest

from loadtest import commands
from loadtest.__main__ import main, parser
from loadtest.report.build import REPORT_VERSION
from tests.support.written_runs import write_run

DEPLOY = {"rps": 600, "min_accuracy": 0.85, "headroom": 0.3, "price_per_core_hour": 0.05}


def next_command(folder, capsys):
    """The command that `report` says to run next, parsed."""
    assert main(["report", str(folder)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("  python -m loadtest ")
    return parser().parse_args(shlex.split(last)[3:])


def test_the_next_command_measures_what_the_report_recommends(tmp_path, capsys):
    folder = write_run(tmp_path / "a run", deploy=DEPLOY)
    said = next_command(folder, capsys)

    assert (said.command, said.folder, said.check) == ("recommend", folder, True)
    asked = {name: getattr(said, name) for name in ("rps", "min_accuracy", "headroom")}
    assert asked == {name: DEPLOY[name] for name in asked}
    assert (said.slo_p99_ms, said.cost_per_hour) == (50.0, pytest.approx(0.2))


def test_without_traffic_to_size_for_the_next_command_asks_for_it(tmp_path, capsys):
    said = next_command(write_run(tmp_path), capsys)

    assert (said.command, said.folder, said.check) == ("recommend", tmp_path, False)


def test_what_is_not_recommended_is_not_measured(tmp_path, capsys):
    folder = write_run(tmp_path, deploy=DEPLOY | {"min_accuracy": 0.95})
    assert main(["report", str(folder)]) == 0

    assert capsys.readouterr().out.splitlines()[-1] == f"Next: open {folder / 'report.html'}."


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (json.dumps({"schema_version": REPORT_VERSION - 1}), "rebuild it with"),
        ("{", "report.json"),
    ],
)
def test_an_unreadable_report_is_refused_before_anything_is_measured(
    tmp_path, monkeypatch, capsys, content, says
):
    (tmp_path / "report.json").write_text(content)
    (tmp_path / "run.json").write_text('{"saturated_rps": {}}')
    measured = []
    monkeypatch.setattr(commands, "run", lambda *_, **__: measured.append("a run"))

    assert main(["run", "--rates-of", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err
    assert measured == []


def test_rates_of_a_run_without_a_report_are_taken_and_compared_with_nothing(
    tmp_path, monkeypatch, capsys
):
    old, new = tmp_path / "old", write_run(tmp_path / "new")
    old.mkdir()
    monkeypatch.setattr(commands, "run", lambda *_, **__: new)

    assert main(["run", "--rates-of", str(old)]) == 0
    assert "Not compared" in capsys.readouterr().out
