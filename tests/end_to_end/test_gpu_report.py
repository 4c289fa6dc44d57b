"""The GPU report as a whole, short and on the CPU: nothing but the device is new on a GPU."""

import json
import re
import subprocess
import sys

import pytest

from tests.benchmarks.gpu_report.gpu_tests import outcomes
from tests.support import cuda
from tests.support.processes import ROOT

PROGRAM = (sys.executable, "-m", "tests.benchmarks.gpu_report")
SHORT = ("--device", "cpu", "--clients", "32,1024", "--http-processes", "0,2")


@pytest.fixture
def reported(environ, tmp_path):
    """A run of the report: its exit status, what it printed, and its JSON."""

    def run(*options):
        command = [*PROGRAM, *options, "--out", str(tmp_path)]
        done = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
        )
        path = tmp_path / "report.json"
        content = json.loads(path.read_text()) if path.is_file() else None
        return done.returncode, done.stdout + done.stderr, content

    return run


@pytest.mark.alone
def test_all_of_it_runs_short_on_a_cpu_and_a_second_run_measures_nothing_again(reported, tmp_path):
    status, told, content = reported(*SHORT)

    assert status == 0, told
    parts = content["parts"]
    assert {name: part["state"] for name, part in parts.items()} == dict.fromkeys(
        (
            "gpu tests", "ceiling of fp32 on cpu", "ceiling of fp16 on cpu",
            "served with 0 HTTP processes", "served with 2 HTTP processes", "path_cost",
        ),
        "done",
    )  # fmt: skip
    assert parts["gpu tests"]["result"]["failed"] == {}
    for precision in ("fp32", "fp16"):
        ceiling = parts[f"ceiling of {precision} on cpu"]["result"]
        assert (
            0
            < ceiling["ceiling_texts_per_s"]
            <= max(each["engine_texts_per_s"] for each in ceiling["budgets"].values())
        )
        assert ceiling["gpu_busy"] == {"not_measured": "there is no GPU in use"}
    for processes in (0, 2):
        served = parts[f"served with {processes} HTTP processes"]["result"]
        assert list(served) == ["32", "1024"]
        for (each,) in served.values():
            assert each["texts_per_s"] > 0
            assert each["bad"] == 0
            assert 0 < each["p50_ms"] <= each["p99_ms"]
            assert (each["http_processes_us"] > 0) == (processes > 0)
    assert set(parts["path_cost"]["result"]["32"]) >= {"reference", "sizewise", "sizewise-http1"}
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 2
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)", page)
    assert "Next: read the page" in told

    status, told, again = reported(*SHORT)

    assert status == 0
    assert told.count("done before") == 6
    assert again["parts"] == parts


@pytest.mark.skipif(cuda.usable(), reason="CUDA is here, so the report would begin")
def test_without_a_gpu_one_sentence_says_so_and_nothing_is_measured(reported):
    status, told, content = reported()

    assert status == 2
    assert re.fullmatch(r"gpu_report: .+: .+\n", told)
    assert content is None


def test_the_outcome_of_each_gpu_test_is_told_with_its_reason(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(
        """<testsuites><testsuite>
        <testcase classname="tests.a" name="works"/>
        <testcase classname="tests.a" name="fails"><failure message="no&#10;at all"/></testcase>
        <testcase classname="tests.a" name="breaks"><error message="no memory"/></testcase>
        <testcase classname="tests.b" name="rests"><skipped message="no CUDA device"/></testcase>
        </testsuite></testsuites>"""
    )

    assert outcomes(report) == {
        "passed": 1,
        "failed": {"tests.a::fails": "no", "tests.a::breaks": "no memory"},
        "skipped": {"tests.b::rests": "no CUDA device"},
    }


def test_what_was_measured_of_something_else_is_never_mixed_with_this(reported, tmp_path):
    (tmp_path / "report.json").write_text(
        json.dumps({"schema_version": 1, "subject": {"device": "cuda"}, "parts": {}})
    )

    status, told, content = reported("--device", "cpu")

    assert status == 2
    assert "device was cuda, is cpu" in told
    assert "--restart" in told
    assert content["subject"] == {"device": "cuda"}


def test_what_does_not_fit_is_named_and_the_page_is_there_all_the_same(reported, tmp_path):
    status, told, content = reported(*SHORT, "--minutes", "0.3")

    assert status == 1
    parts = content["parts"]
    assert parts["path_cost"]["state"] == "not begun"
    page = (tmp_path / "report.html").read_text()
    for name, part in parts.items():
        if part["state"] != "done":
            assert f"Not measured: {name}: {part['state']}, " in told
            assert f"{name}: {part['state']}, " in page
    assert "what is done is kept" in told
