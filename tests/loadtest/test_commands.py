"""Whole commands against a small real HTTP server whose behaviour is known."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from loadtest.__main__ import main
from loadtest.analysis.validity import Thresholds
from loadtest.commands import Criteria
from loadtest.report.build import read_report
from loadtest.sizing.verify import VerificationPlan
from tests.support.reports import settle

pytestmark = pytest.mark.usefixtures("stand_in")

# Phases of a second, next to a server in Python, are late by chance.
LENIENT = Criteria(
    Thresholds(lateness_ms=1000.0, achieved_share=0.5, other_cpu_share=9.0),
    VerificationPlan(rounds=2, measured_s=1.0),
)


def scenario_file(tmp_path, text=""):
    (tmp_path / "own.toml").write_text(
        "rounds = 2\nwarmup_s = 0.2\nmeasured_s = 0.8\nfloor = false\n"
        + text
        + """
[[loads]]
name = "closed"
kind = "closed"
users = 4
[[loads]]
name = "open"
kind = "open"
share = 0.2
"""
    )
    return str(tmp_path / "own.toml")


def test_a_run_measures_every_variant_and_its_report_can_be_rebuilt(tmp_path, capsys):
    arguments = ["run", scenario_file(tmp_path), "--registry", "registry", "--out", "reports"]
    assert main(arguments, criteria=LENIENT) == 0
    printed = capsys.readouterr().out
    assert "tone/torn is skipped: its state is failed" in printed
    (folder,) = (tmp_path / "reports").iterdir()
    report = read_report(folder)
    assert [variant["variant"] for variant in report["variants"]] == ["fast", "slow"]
    assert all(variant["on_frontier"] for variant in report["variants"])
    assert report["validity"]["phases"] == report["validity"]["planned"] == 2 * 2 * 2
    for variant in report["variants"]:
        closed, opened = variant["loads"]["closed"], variant["loads"]["open"]
        assert set(closed["status"]) == set(opened["status"]) == {"200"}
        assert len(closed["rounds"]) == 2
        first_rps = closed["rounds"][0]["achieved_rps"]
        assert opened["offered_rps"]["value"] == pytest.approx(0.2 * first_rps, rel=0.5)
        assert opened["split_median_ms"]["engine"] == 1.5
        assert variant["accuracy"]["low"] < variant["accuracy"]["value"]
        assert variant["peak_bytes"] > 10_000_000
        assert 0.0 < variant["ready_s"]["value"] < 30.0
    assert report["machine"]["versions"]["locust"]
    assert "own.toml" in report["command"]
    assert {path.stem for path in folder.glob("*.png")} >= {"frontier", "latency_throughput"}
    text, html = (folder / "report.md").read_text(), (folder / "report.html").read_text()
    assert text in printed
    assert "http://" not in html.replace("http://www.w3.org", "")
    (folder / "report.md").unlink()
    assert main(["report", str(folder)], criteria=LENIENT) == 0
    assert (folder / "report.md").read_text() == text
    assert main(["compare", str(folder), str(folder)]) == 0
    capsys.readouterr()
    settle(folder)
    required = ["--slo-p99-ms", "1000", "--min-accuracy", "0.8", "--rps", "10"]
    assert main(["recommend", *required, "--values", "values.yaml"]) == 0
    said = capsys.readouterr().out
    assert "deploy tone/slow on 1 replica," in said
    assert "sizewise ./helm -n NAMESPACE --reset-then-reuse-values -f values.yaml" in said
    assert (tmp_path / "values.yaml").is_file()
    assert main(["recommend", *required[:-1], "10000000000"]) == 0
    assert main(["recommend", "--slo-p99-ms", "0.1", *required[2:]]) == 1


def test_a_running_server_can_be_measured_by_its_address(tmp_path, url):
    arguments = [
        "run",
        scenario_file(tmp_path),
        "--url",
        url,
        "--out",
        "reports",
        "--variant",
        "fast",
    ]
    assert main(arguments, criteria=LENIENT) == 0
    (folder,) = (tmp_path / "reports").iterdir()
    report = read_report(folder)
    assert report["url"] == url
    assert report["variants"][0]["peak_bytes"] is None


def test_a_recommendation_is_checked_by_running_it(tmp_path, capsys):
    arguments = ["run", scenario_file(tmp_path), "--registry", "registry", "--out", "reports"]
    assert main(arguments, criteria=LENIENT) == 0
    (folder,) = (tmp_path / "reports").iterdir()
    settle(folder)
    required = ["--slo-p99-ms", "1000", "--min-accuracy", "0.8", "--rps", "20", "--check"]
    status = main(["recommend", *required], criteria=LENIENT)
    said = capsys.readouterr().out
    assert "requests/s predicted 20.0" in said
    assert status == (0 if "holds" in said else 1)
    assert (tmp_path / "values.recommended.yaml").is_file() is (status == 0)


def test_a_report_of_another_version_is_refused(tmp_path, capsys):
    (tmp_path / "report.json").write_text('{"schema_version": 1}')
    assert main(["compare", str(tmp_path), str(tmp_path)]) == 2
    assert "schema version 1" in capsys.readouterr().err


def test_a_server_that_does_not_start_ends_the_run_with_its_own_words(monkeypatch, capsys):
    monkeypatch.setenv("STAND_IN_FAILS", "1")
    assert main(["run", "--out", "reports"]) == 2
    assert "SIZEWISE_REGISTRY: no such folder" in capsys.readouterr().err


def test_a_variant_that_is_not_served_is_refused_with_those_that_are(capsys):
    assert main(["run", "--out", "reports", "--variant", "huge"]) == 2
    assert "huge: not available; the server offers fast, slow" in capsys.readouterr().err


def test_a_file_without_texts_is_refused_before_anything_starts(capsys, tmp_path):
    assert main(["run", scenario_file(tmp_path, 'texts = "none.txt"\n')]) == 2
    assert "none.txt" in capsys.readouterr().err
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    "given",
    [
        ["run", "--url", "localhost:8000"],
        ["recommend", "--slo-p99-ms", "0", "--min-accuracy", "0.8", "--rps", "1"],
        ["recommend", "--slo-p99-ms", "9", "--min-accuracy", "1.8", "--rps", "1"],
    ],
)
def test_absurd_options_are_refused(given):
    with pytest.raises(SystemExit, match="2"):
        main(given)


@pytest.mark.parametrize("command", [["report"], ["compare", "."]])
def test_a_folder_without_a_run_is_refused(tmp_path, capsys, command):
    assert main([*command, str(tmp_path)]) == 2
    assert "run" in capsys.readouterr().err


def test_a_run_that_is_told_to_stop_leaves_no_process_behind(tmp_path):
    command = [sys.executable, "-m", "loadtest", "run", scenario_file(tmp_path, "seed = 1\n"),
               "--registry", "registry", "--out", "reports"]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE) as measuring:
        said = b""
        while b"fast, closed" not in said:
            said += os.read(measuring.stderr.fileno(), 1000)
            assert measuring.poll() is None
        started = psutil.Process(measuring.pid).children(recursive=True)
        measuring.send_signal(signal.SIGTERM)
        assert measuring.wait(30) == 128 + 15
    _, alive = psutil.wait_procs(started, timeout=10)
    assert len(started) >= 1
    assert alive == []
