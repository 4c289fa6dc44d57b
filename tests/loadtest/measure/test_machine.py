"""What other programs take of the machine is seen, and what is our own is not."""

import os
import subprocess
import sys
import time

import pytest

from loadtest.measure import machine
from loadtest.measure.machine import MachineClock

BURN = [sys.executable, "-c", "while True: pass"]
STAT = """cpu  100 0 100 800 0 0 0 0 0 0
cpu0 {user} 0 50 400 0 0 0 {steal} 0 0
cpu1 50 0 50 400 0 0 0 0 0 0
cpu2 9999 0 50 400 0 0 0 0 0 0
intr 1 2 3
"""


@pytest.fixture
def two_cores(monkeypatch, tmp_path):
    """A machine whose counters are a file, of which this process may use two cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(machine, "_STAT", tmp_path / "stat")
    monkeypatch.setattr(machine, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(machine, "_own_and_ended_s", lambda: 0.0)
    seconds = iter([0.0, 10.0])
    monkeypatch.setattr(machine.time, "monotonic", lambda: next(seconds))

    def clock(user, steal=0):
        (tmp_path / "stat").write_text(STAT.format(user=user, steal=steal))
        return MachineClock.read(None)

    return clock


@pytest.mark.parametrize(
    ("user", "steal", "client", "share"),
    [
        (1000, 0, (0.0, True), 0.5),  # ten seconds of one of two cores
        (1000, 0, (10.0, True), 0.0),
        (1000, 0, (0.0, False), 0.0),
        (0, 400, (0.0, False), 0.2),
        (1000, 400, (5.0, True), 0.45),
    ],
)
def test_others_are_what_is_busy_and_not_ours_and_what_is_stolen(
    two_cores, user, steal, client, share
):
    before, after = two_cores(0), two_cores(user, steal)
    client_s, local = client
    assert after.others_since(before, client_s, local=local).other_cpu_share == pytest.approx(share)


def test_the_cores_that_a_quota_keeps_from_us_are_others_to_use(two_cores, tmp_path):
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    before, after = two_cores(0), two_cores(1500)
    assert after.others_since(before, 0.0, local=True).other_cpu_share == pytest.approx(0.5)


def test_without_counters_nothing_is_known(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_STAT", tmp_path / "none")
    assert MachineClock.read(None) is None


@pytest.mark.skipif(not machine._STAT.is_file(), reason="needs /proc/stat")
def test_a_process_and_its_descendants_are_one_server():
    nested = [sys.executable, "-c", f"import subprocess\nsubprocess.run({BURN!r})"]
    with subprocess.Popen(nested, start_new_session=True) as parent:
        try:
            deadline_s = time.monotonic() + 30.0
            while machine._tree_s(parent.pid) < 0.3:
                assert time.monotonic() < deadline_s
                time.sleep(0.02)
        finally:
            os.killpg(parent.pid, 9)
