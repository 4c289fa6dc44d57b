"""The GPU report's parts: their time limits, what is kept, and what a machine lacks."""

import json
import os
import signal
import subprocess
import sys
import time

import onnxruntime
import psutil
import pytest

from tests.benchmarks.gpu_report import busy, needs
from tests.benchmarks.gpu_report.parts import Part
from tests.benchmarks.gpu_report.report import Other, Report, left_out
from tests.benchmarks.gpu_report.run import Ended, Progress, run
from tests.support.processes import ROOT
from tests.support.registries import wait_for

FIRST_LINE = "print('{\"first\": 1}', flush=True)"
WITH_A_CHILD = f"""
import subprocess, time
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
print('{{"child": %d}}' % child.pid, flush=True)
{FIRST_LINE}
time.sleep(60)
"""
KILLED = """
import sys, time
from pathlib import Path
from tests.benchmarks.gpu_report.parts import Part
from tests.benchmarks.gpu_report.report import Report
out = Path(sys.argv[1])
quick = Part("quick", [sys.executable, "-c", "print('{\\"figure\\": 7}')"], 0, 30, ("figure",))
slow = "import os, time; print('{\\"pid\\": %d}' % os.getpid(), flush=True); time.sleep(60)"
parts = [quick, Part("slow", [sys.executable, "-c", slow], 0, 50)]
report = Report(out / "report.json", {"device": "cpu"}, {})
report.measure(parts, time.monotonic() + 60, out / "logs")
"""


def part(program, *expected, name="part", usual_s=0, limit_s=30, lacks=""):
    return Part(name, [sys.executable, "-c", program], usual_s, limit_s, expected, lacks)


def gone(pid):
    """Whether a process has ended, reaped or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def measure(made, folder, *parts, left_s=60, runner):
    made.measure(parts, time.monotonic() + left_s, folder, runner=runner)


def report(folder, **subject):
    return Report(folder / "report.json", subject, {})


def saved(folder):
    return json.loads((folder / "report.json").read_text())


def ended(_part, _limit_s, _logs, _tell):
    return Ended("done", 1.0, {"first": 1})


def unexpected(*_):
    pytest.fail("it was measured")


def test_a_part_past_its_limit_ends_with_all_that_it_started_and_keeps_what_it_said(tmp_path):
    found = run(part(WITH_A_CHILD, limit_s=1), 1, tmp_path)

    assert found.state == "stopped"
    assert found.result["first"] == 1
    assert "limit of 1 s" in found.reason
    wait_for(lambda: gone(found.result["child"]))


def test_a_part_that_fails_says_why_and_keeps_what_it_said(tmp_path):
    found = run(part(f"{FIRST_LINE}; raise SystemExit('out of memory')"), 30, tmp_path)

    assert (found.state, found.result) == ("failed", {"first": 1})
    assert "status 1" in found.reason
    assert "out of memory" in found.reason


def test_half_a_line_of_json_is_no_figure(tmp_path):
    assert run(part(f"{FIRST_LINE}; print('{{\"second')"), 30, tmp_path).result == {"first": 1}


def test_a_killed_report_ends_what_it_runs_and_goes_on_where_it_was(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT)
    slow = tmp_path / "logs" / "slow.out"
    wait_for(lambda: slow.is_file() and slow.read_text().endswith("}\n"))
    process.send_signal(signal.SIGKILL)
    process.wait()

    pid = json.loads(slow.read_text())["pid"]
    wait_for(lambda: gone(pid))
    again = report(tmp_path, device="cpu")
    again.resume()
    assert left_out(again.content) == ["slow: not begun, the report ended before it"]
    again.measure(
        [part("", "figure", name="quick")], time.monotonic() + 60, tmp_path, runner=unexpected
    )
    assert saved(tmp_path)["parts"]["quick"]["result"] == {"figure": 7}


def test_a_part_begins_only_while_its_usual_time_is_left(tmp_path):
    now = iter([100.0, 115.0])
    limits = []

    def runner(_part, limit_s, _logs, _tell):
        limits.append(limit_s)
        return Ended("done", 15.0)

    made = report(tmp_path)
    made.measure(
        [part("", name="long", usual_s=10, limit_s=50), part("", name="late", usual_s=10)],
        120.0, tmp_path, clock=lambda: next(now), runner=runner,
    )  # fmt: skip

    assert limits == [20.0]
    assert left_out(saved(tmp_path)) == ["late: not begun, it takes about 10 s, and 5 s are left"]


def test_a_part_that_lacks_something_is_named_and_not_run(tmp_path):
    made = report(tmp_path)
    made.measure(
        [part("", lacks="wrk is missing")], time.monotonic() + 60, tmp_path, runner=unexpected
    )

    assert left_out(saved(tmp_path)) == ["part: not begun, wrk is missing"]


def test_a_part_that_ends_without_a_figure_is_not_done(tmp_path):
    made = report(tmp_path)
    measure(made, tmp_path, part("", "first", "second"), runner=ended)

    (lack,) = left_out(saved(tmp_path))
    assert lack == "part: failed, it ended without all of its figures; without second"


def test_figures_of_a_stopped_part_stay_where_no_time_is_left_to_repeat_it(tmp_path):
    made = report(tmp_path)
    measure(made, tmp_path, part("", "first", "second"), runner=ended)
    again = report(tmp_path)
    again.resume()
    again.measure(
        [part("", "first", "second", usual_s=5)], time.monotonic(), tmp_path, runner=unexpected
    )

    assert saved(tmp_path)["parts"]["part"]["result"] == {"first": 1}


@pytest.mark.parametrize("subject", [{"device": "cuda"}, {"device": "cpu", "clients": [1]}])
def test_parts_of_another_subject_are_not_kept(tmp_path, subject):
    report(tmp_path, device="cpu").save()

    with pytest.raises(Other, match="--restart"):
        report(tmp_path, **subject).resume()


def test_progress_is_lines_at_an_interval_where_there_is_no_terminal(capsys):
    progress = Progress("[1/2] part", 60, sys.stderr)
    progress.begin()
    for seconds in range(40):
        progress.tell(float(seconds))
    progress.end("done in 40 s")

    assert capsys.readouterr().err.splitlines() == [
        "[1/2] part: at most 60 s",
        "[1/2] part: 15 of at most 60 s",
        "[1/2] part: 30 of at most 60 s",
        "[1/2] part: done in 40 s",
    ]


def test_a_missing_package_is_found_by_importing_what_needs_it(tmp_path, monkeypatch):
    (tmp_path / "a_part.py").write_text("import json\nimport no_such_package.module\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert needs.missing_packages(("a_part", "json", "another_one")) == {
        "no-such-package",
        "another-one",
    }
    assert needs.missing_packages((*needs.declared(), *needs.MODULES)) == set()


def test_an_onnxruntime_that_is_built_without_cuda_is_named():
    assert needs.missing_provider("cpu") is None
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime is built for CUDA")
    assert "is built without CUDAExecutionProvider" in needs.missing_provider("cuda")


def test_libraries_that_cuda_lacks_are_named_and_a_session_on_the_cpu_does_not_pass(monkeypatch):
    session, said = onnxruntime.InferenceSession, []

    def fallen_back(graph, providers):
        assert providers == ["CUDAExecutionProvider"]
        os.write(2, "".join(said).encode())
        return session(graph, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", fallen_back)
    monkeypatch.setattr(needs, "_CUDNN", "libno-such.so.9")
    assert needs.missing_provider("cuda").startswith("libno-such.so.9 cannot be loaded: ")

    said[:] = ["with error: libcublas.so.13: cannot open shared object file: No such file"]
    assert needs.missing_provider("cuda").startswith("libcublas.so.13, libno-such.so.9 cannot ")

    said[:] = ["CUDA failure 100: no CUDA-capable device is detected"]
    monkeypatch.setattr(needs, "_CUDNN", "libc.so.6")
    assert needs.missing_provider("cuda") == (
        "a session asked for CUDAExecutionProvider runs on CPUExecutionProvider: " + said[0]
    )


def test_cudas_libraries_are_found_on_the_path_and_not_beside_onnxruntime(tmp_path, monkeypatch):
    (tmp_path / "nvidia" / "cu13" / "lib").mkdir(parents=True)
    (tmp_path / "nvidia" / "cudnn" / "include").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)

    assert str(tmp_path / "nvidia" / "cu13" / "lib") in needs.library_folders()
    assert not any(folder.endswith("include") for folder in needs.library_folders())


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A PATH with a nvidia-smi that says what it is given, and no pynvml."""

    def make(says):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{says}\n")
        program.chmod(0o755)

    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return make


def test_nvidia_smi_gives_the_busy_share_where_pynvml_is_missing(tools):
    tools("echo 75")

    with busy.Busy("cuda") as found:
        time.sleep(5 * busy.INTERVAL_S)

    assert found.found["share"] == 0.75
    assert found.found["by"] == "nvidia-smi"
    assert found.found["samples"] >= 1


def test_a_busy_share_that_nothing_measures_is_told(tools):
    tools("echo 'No devices were found'; exit 6")

    with busy.Busy("cuda") as found:
        pass

    assert found.found == {"not_measured": "neither pynvml nor nvidia-smi answers"}


def test_the_gpu_is_named_by_nvidia_smi(tools):
    tools("echo 'NVIDIA H100 80GB HBM3, 580.159.04, 81559'")

    assert busy.gpu() == {
        "name": "NVIDIA H100 80GB HBM3", "driver": "580.159.04", "memory_mib": 81559,
    }  # fmt: skip
