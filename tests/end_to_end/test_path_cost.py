"""The program that measures the server's own cost: very short runs of it, whose figures are real.

Where wrk is missing a stand-in sends the requests.
"""

import argparse
import importlib.metadata
import json
import subprocess
import sys
import time

import psutil
import pytest

from tests.benchmarks.path_cost import running, yardsticks
from tests.benchmarks.path_servers import Server, servers
from tests.support.processes import ROOT, clean_environ

SHORT = ("--rounds", "1", "--seconds", "1", "--clients", "2")
PROGRAM = (sys.executable, "-m", "tests.benchmarks.path_cost")
LIMIT_S = 100


@pytest.fixture(scope="module")
def printed(environ):
    command = [*PROGRAM, *SHORT, "--http-processes", "0,1", "--everything"]
    return subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True, timeout=LIMIT_S
    ).stdout.splitlines()


@pytest.fixture(scope="module")
def figures(printed):
    return json.loads(printed[-1])["2"]


def test_the_last_line_is_json_with_every_server_beside_the_reference(figures):
    assert list(figures) == ["reference", "sizewise", "sizewise-http1", "everything"]
    for each in figures.values():
        assert each["us"] > 0
        assert 0 < each["main_us"] <= each["us"]
        assert each["rps"] > 0
        assert each["p50_ms"] <= each["p99_ms"]
        assert each["bad"] == 0
        assert each["ratio"] == pytest.approx(each["us"] / figures["reference"]["us"])


def test_the_main_process_is_all_of_the_server_unless_http_has_a_process_of_its_own(figures):
    assert figures["sizewise"]["main_us"] == figures["sizewise"]["us"]
    assert figures["sizewise-http1"]["main_us"] < figures["sizewise-http1"]["us"]


def test_every_server_says_which_tokenizers_it_has_loaded(figures):
    versions = {each["tokenizers"] for each in figures.values()}

    assert versions == {importlib.metadata.version("tokenizers")}


def test_each_round_and_each_server_has_a_line(printed, figures):
    assert printed[0].startswith("2 clients, round 1 of 1: reference ")
    assert printed[1] == "2 clients, medians:"
    assert [line.split()[0] for line in printed[2:-1]] == list(figures)


@pytest.fixture
def options(tmp_path):
    """Those of a run that compares with the checkout in tmp_path."""
    return argparse.Namespace(
        bundle=tmp_path, http_processes=[0, 2], server=[], before=tmp_path, before_python="old",
        everything=False,
    )  # fmt: skip


def test_a_checkout_to_compare_with_runs_its_own_code_and_has_its_pythons_reference(
    options, monkeypatch, tmp_path
):
    monkeypatch.setenv("PYTHONPATH", "packages")
    engine = options.before / "tests/support/sleeping_serving.py"
    engine.parent.mkdir(parents=True)
    engine.touch()

    found = servers(options, "registry", tmp_path)

    assert list(found) == [
        "reference", "before-reference", "sizewise", "sizewise-http2", "before", "before-http2",
    ]  # fmt: skip
    assert found["before-reference"].is_reference
    assert found["before-reference"].command[0] == "old"
    before = found["before-http2"]
    assert before.command == ["old", "-m", "tests.support.sleeping_serving"]
    assert before.folder == options.before
    assert before.environ["PYTHONPATH"] == str(options.before)
    assert before.environ["SIZEWISE_HTTP_PROCESSES"] == "2"
    assert found["sizewise"].environ["PYTHONPATH"] == f"{ROOT}:packages"


def test_a_checkout_without_a_sleeping_engine_gets_this_one(options, tmp_path):
    before = servers(options, "registry", tmp_path)["before"]

    assert before.command == ["old", "-P", str(ROOT / "tests/support/sleeping_serving.py")]
    assert before.environ["PYTHONPATH"] == str(options.before)


def test_a_server_whose_tokenizers_no_reference_has_is_refused():
    every = {"reference": Server([], is_reference=True), "before": Server([])}

    with pytest.raises(SystemExit, match=r"before has tokenizers 1\.0, the reference 0\.2"):
        yardsticks(every, {"reference": "0.2", "before": "1.0"})


def test_each_server_is_compared_with_the_reference_of_its_tokenizers():
    old, new = Server([], is_reference=True), Server([], is_reference=True)
    every = {"reference": new, "before-reference": old, "before": Server([])}
    versions = {"reference": "1.0", "before-reference": "0.2", "before": "0.2"}

    assert yardsticks(every, versions)["before"] == "before-reference"


def test_without_wrk_it_says_what_to_install():
    done = subprocess.run(
        PROGRAM, cwd=ROOT, env=clean_environ() | {"PATH": "", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip

    assert done.returncode == 2
    assert done.stderr == "wrk is missing: apt-get install wrk\n"


def test_a_server_that_does_not_start_ends_it_with_what_the_server_said(environ):
    command = [*PROGRAM, *SHORT, "--http-processes", "", "--server", "broken=sh -c 'echo no >&2'"]
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=LIMIT_S
    )

    assert done.returncode == 1
    assert done.stderr == "broken did not start: sh -c 'echo no >&2': no\n"


def test_a_program_that_is_missing_ends_it_with_one_sentence():
    with (
        pytest.raises(SystemExit, match=r"^broken did not start: .*'/no/program'$"),
        running("broken", Server(["/no/program"]), b""),
    ):
        pytest.fail("it started")


def test_no_server_outlives_it_when_it_is_stopped(environ):
    program = psutil.Popen(
        [*PROGRAM, "--http-processes", "1", "--rounds", "9"],
        cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until_s = time.monotonic() + LIMIT_S
        while time.monotonic() < until_s and not (started := program.children(recursive=True)):
            time.sleep(0.05)
    finally:
        program.terminate()
        program.wait(LIMIT_S)
    _, alive = psutil.wait_procs(started, timeout=5)

    assert started
    assert alive == []


def test_a_sleeping_server_refuses_to_serve_another_checkouts_code(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.sleeping_serving"], cwd=tmp_path,
        env=clean_environ() | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip

    assert done.returncode == 1
    assert f", not from {tmp_path}" in done.stderr
