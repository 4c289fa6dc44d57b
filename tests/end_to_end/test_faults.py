"""The program that injects faults: a few of them, with bounds that a busy machine keeps."""

import json
import subprocess
import sys

import pytest

from tests.benchmarks.faults.alerts import firing
from tests.benchmarks.faults.outcome import Asked, Probed, longest_gap_ms, recovery_s
from tests.benchmarks.faults.run import since_listening
from tests.benchmarks.faults.table import markdown
from tests.support.processes import ROOT

PROGRAM = (sys.executable, "-m", "tests.benchmarks.faults")
LIMIT_S = 280


def answers(*ends_s):
    return [Probed(at - 0.001, at, "200", "") for at in ends_s]


def run(*arguments):
    command = [*PROGRAM, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LIMIT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.timeout(2 * LIMIT_S)
def test_a_few_faults_keep_their_promises_and_a_second_run_injects_none(tmp_path):
    table = tmp_path / "table.md"
    quick = ("--quick", "--untimed", "--state", tmp_path / "state", "--table", table)
    first = json.loads(run(*quick)[-1])
    kept = sorted((tmp_path / "state").iterdir())
    written_ns = [path.stat().st_mtime_ns for path in kept]
    second = json.loads(run(*quick)[-1])

    assert first["broken"] == {}
    assert first["faults"] == first["kept"] == len(kept) > 1
    assert first["requests"] > 100
    assert second == first
    assert [path.stat().st_mtime_ns for path in kept] == written_ns
    assert "| SIGKILL: one HTTP process (2 HTTP processes) | " in table.read_text()


def test_every_fault_is_listed_with_its_mode():
    lines = run("--list")

    assert len(lines) > 100
    assert sum("(2 HTTP processes)" in line for line in lines) > 20


def test_the_longest_time_without_an_answer_leaves_out_the_watchers_own_stall():
    live = answers(1.0, 1.01, 1.31, 1.32, 1.42)

    assert longest_gap_ms(live, [], 1.0, 1.43) == pytest.approx(300)
    assert longest_gap_ms(live, [(1.02, 1.3)], 1.0, 1.43) == pytest.approx(100)
    assert longest_gap_ms(answers(1.0), [], 1.0, 1.43) == pytest.approx(430)


def test_a_server_that_starts_is_live_once_it_has_listened_and_has_to_stay_so():
    begins = [(each, each, "refused", "") for each in (1.0, 1.1)]
    goes_on = [(1.2, 1.2, "200", ""), (1.3, 1.3, "refused", "")]

    assert since_listening(begins + goes_on) == goes_on
    assert since_listening(begins) == []


def test_the_table_shows_the_longest_time_without_an_answer_of_every_attempt():
    row = {"fault": "a fault", "mode": "one process", "promised": [], "requests": 1, "lost": 0}
    row |= {"outcomes": {}, "recovered_s": 0.0, "live": {}, "ready": {}, "why": "", "events": []}
    row |= {"moved": [], "alerts": [], "broken": [], "notes": [], "group": "log", "attempt": 2}
    row |= {"live_gap_ms": 20.0, "longest_gap_ms": 195.0}
    summary = {"faults": 1, "kept": 1, "requests": 1, "longest_live_gap_ms": 195.0}

    assert "| 20 (195 in another attempt) |" in markdown([row], summary)
    assert "| 20 |" in markdown([row | {"longest_gap_ms": 20.0}], summary)


def test_recovery_is_the_end_of_the_last_request_that_failed_or_was_slow():
    asked = [Asked(1.0, 1.1, "200"), Asked(2.0, 2.5, "503"), Asked(3.0, 3.1, "200")]

    assert recovery_s(asked, 1.0) == pytest.approx(1.5)
    assert recovery_s([*asked, Asked(2.0, 3.5, "200")], 1.0) == pytest.approx(2.5)
    assert recovery_s(asked[:1], 1.0) == 0


@pytest.mark.parametrize(
    ("during", "expected"),
    [
        ('sizewise_ready 1\nsizewise_refused_bundles{model="m"} 1', ["SizewiseBundleRefused"]),
        ("sizewise_ready 0", ["SizewiseNoneReady", "SizewiseNotReady"]),
        ("sizewise_ready 1", []),
        (None, ["SizewiseNoneReady", "SizewiseNotScraped"]),
    ],
)
def test_alerts_are_those_of_the_charts_rules_if_the_fault_lasts(during, expected):
    usual = "sizewise_ready 1\n"

    assert firing((0, usual), (1, usual), (2, during and during + "\n")) == expected
