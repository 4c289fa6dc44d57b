"""A turn that ends or is killed anywhere goes on where it was."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from models.retraining import turn as turns
from serving.errors import BundleError
from tests.support.processes import ROOT
from tests.support.refreshed_family import (
    UNLABELLED,
    VARIANTS,
    command,
    give_feedback,
    last,
    left_in,
    log_texts,
    new_versions,
    refresh,
    traffic,
    versions,
)  # fmt: skip
from tests.support.registries import wait_for

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


class Stopped(BaseException):
    """The process ends here."""


def stop_everywhere(here, monkeypatch, *steps):
    """Have the next starts end once before and after each step, and each write of the record."""
    stopped = set()

    def stopping(name, does):
        def stop(when):
            path = here / "build/refresh/tone/record.json"
            done = path.read_text().count('"ended": "') if path.exists() else 0
            if (name, when, done) not in stopped:
                stopped.add((name, when, done))
                raise Stopped

        def observed(*arguments, **fields):
            stop("before")
            result = does(*arguments, **fields)
            stop("after")
            return result

        return observed

    for name in ("write_record", *steps):
        monkeypatch.setattr(turns, name, stopping(name, getattr(turns, name)))
    return stopped


def start_until_it_ends():
    """Start again while a start is stopped; return how often it was."""
    for times in range(40):
        with contextlib.suppress(Stopped):
            assert refresh() == 0
            return times
    raise AssertionError("it never ends")


def test_wherever_it_is_stopped_before_the_trial_it_goes_on(here, tried, monkeypatch):
    log_texts("log", traffic(150), UNLABELLED)
    steps = ["make_versions", "publish_beside", "start_canaries", "watch"]
    stopped = stop_everywhere(here, monkeypatch, *steps)

    assert start_until_it_ends() == len(stopped) > 2 * len(steps)

    assert {name for name, *_ in stopped} == {"write_record", *steps}
    for name in ("old_test", "new_test", "versions", "refused", "outcome"):
        assert last(here)[name] == last(tried)[name]
    assert new_versions(here) == new_versions(tried)
    assert left_in(here) == left_in(tried)


@pytest.mark.parametrize(("step", "right"), [("promote", 195), ("withdraw", 90)])
def test_wherever_it_is_stopped_after_the_trial_it_comes_to_its_end(
    on_trial, monkeypatch, step, right
):
    wanted = new_versions(on_trial) if step == "promote" else versions()
    give_feedback(on_trial, right)
    stopped = stop_everywhere(on_trial, monkeypatch, "watch", step)

    assert start_until_it_ends() == len(stopped) > 4

    assert last(on_trial)["outcome"]
    assert versions() == wanted
    assert not (on_trial / "build/registry/tone/traffic.json").exists()
    assert left_in(on_trial) == {"record.json", "lock"}


def test_a_run_that_was_killed_in_the_middle_of_making_goes_on(here, capsys):
    log_texts("log", traffic(150), UNLABELLED)
    whole = [sys.executable, "-m", "models", *command()]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    trained = here / "build/refresh/tone/build/tone/static-fp32/static"
    with subprocess.Popen(whole, env=environ, stdout=subprocess.DEVNULL) as process:
        wait_for(trained.is_dir, seconds=100)
        process.send_signal(signal.SIGKILL)
    assert last(here)["steps"]["make"]["ended"] is None

    assert refresh() == 0

    said = capsys.readouterr().out
    assert "static-fp32: static is up to date" in said
    assert "collect:" not in said
    assert "Undecided" in said


def test_two_at_a_time_exclude_each_other(here, capsys):
    log_texts("log", traffic(10))
    folder = here / "build/refresh/tone"
    folder.mkdir(parents=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert refresh() == 2
    assert "another refresh is at work in build/refresh/tone" in capsys.readouterr().err


def test_an_error_of_the_registry_is_recorded_and_the_step_taken_again(here, monkeypatch, capsys):
    log_texts("log", traffic(150))

    def full(*_):
        raise BundleError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(turns, "publish_beside", full)
        assert refresh() == 2
    assert "the disk is full" in capsys.readouterr().err
    assert last(here)["steps"]["publish"]["ended"] is None

    assert refresh() == 0
    assert set(new_versions(here)) == set(VARIANTS)
