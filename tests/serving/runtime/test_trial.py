import io
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from threading import Thread
from types import SimpleNamespace

import pytest

from serving.bundles.bundle import read_bundle
from serving.errors import BundleError
from serving.inference.engine_selection import ENGINES
from serving.runtime import trial, trial_process
from serving.runtime.trial import Trials
from serving.settings import Settings
from serving.shortage import Shortage
from tests.support.bundles import write_bundle


@pytest.fixture
def bundle(tmp_path):
    write_bundle(tmp_path / "bundle")
    return read_bundle(tmp_path / "bundle")


@pytest.fixture
def trials():
    return Trials(Settings())


def test_no_process_is_started_once_the_server_ends(trials, bundle, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_args, **_options: pytest.fail("started"))
    trials.end()

    with pytest.raises(BundleError, match="shutting down"):
        trials.engines(bundle, beside_traffic=False)


def test_a_killed_process_that_does_not_die_is_not_waited_for(trials, monkeypatch):
    def wait(timeout_s):
        raise subprocess.TimeoutExpired("trial", timeout_s)

    monkeypatch.setattr(trial, "_DEATH_S", 0.01)
    trials._process = SimpleNamespace(kill=lambda: None, wait=wait, stdin=None)

    trials.rest()

    assert trials._process is None


def test_of_endless_words_before_a_crash_the_last_are_kept():
    program = "import os; [os.write(2, b'x' * 65536) for _ in range(300)]; os.write(2, b' last')"
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
    words = trial._Words()

    words.listen(process)

    assert process.wait(30) == 0
    assert words.last().endswith("x last")
    assert len(words.last()) == 300
    assert len(words._kept) <= 1 << 14


def test_memory_that_the_system_does_not_state_is_not_limited(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 5 kB\nMemAvailable:\n")
    for name in ("meminfo", "absent"):
        assert trial_process._bytes_of(str(tmp_path / name), "MemAvailable:") is None
    assert trial_process._bytes_of(str(tmp_path / "meminfo"), "MemTotal:") == 5 * 1024
    monkeypatch.setattr(trial_process, "_bytes_of", lambda *_: None)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: pytest.fail("limited"))

    trial_process._limit_memory()


def test_a_bundle_is_tried_where_nothing_is_writable(bundle, monkeypatch):
    def refuse(*_args, **_options):
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    trials = Trials(Settings(engine="onnxruntime"))

    assert "onnxruntime" in trials.engines(bundle, beside_traffic=False)
    trials.end()


def test_lower_limits_and_priority_that_the_server_has_do_not_refuse_a_bundle(bundle):
    def lower():
        os.nice(15)
        resource.setrlimit(resource.RLIMIT_DATA, (2**36, 2**36))
        resource.setrlimit(resource.RLIMIT_CPU, (25, 25))

    program = (
        "from pathlib import Path; from serving.bundles.bundle import read_bundle\n"
        "from serving.runtime.trial import Trials; from serving.settings import Settings\n"
        "trials = Trials(Settings(engine='onnxruntime'))\n"
        f"trials.engines(read_bundle(Path({str(bundle.folder)!r})), beside_traffic=True)\n"
        "trials.end()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, preexec_fn=lower)


def test_of_each_folder_and_engine_only_the_last_verdict_is_kept(tmp_path, monkeypatch):
    tried = []

    def refuse(_self, bundle, _name, **_options):
        tried.append(bundle.manifest.version)
        return ""

    monkeypatch.setattr(Trials, "_try", refuse)
    trials = Trials(Settings(engine="onnxruntime"))
    for scale in (1.0, 2.0, 3.0):
        write_bundle(tmp_path / "tiny", scale=scale)
        for _ in range(2):
            trials.engines(read_bundle(tmp_path / "tiny"), beside_traffic=False)
    kept = len(trials._verdicts)
    trials.forget([tmp_path / "other"])

    assert len(tried) == len(set(tried)) == 3
    assert (kept, len(trials._verdicts)) == (1, 0)


TOO_FEW = "Resource temporarily unavailable"
SHORT = b'{"refused": "model.onnx: Resource temporarily unavailable", "short": true}'
GOOD = b'{"warnings": []}'


@pytest.fixture
def said(monkeypatch):
    """What the process says of one trial after the other; b"" is its end by SIGABRT."""
    lines = []
    process = SimpleNamespace(stdin=io.BytesIO(), wait=lambda _: -signal.SIGABRT)
    monkeypatch.setattr(Trials, "_started", lambda _: process)
    monkeypatch.setattr(Trials, "_next_line", lambda *_: lines.pop(0))
    monkeypatch.setattr(trial._Words, "last", lambda _: "std::system_error: " + TOO_FEW)
    return lines


@pytest.mark.parametrize("short", [SHORT, b""])
def test_a_shortage_of_the_machine_is_no_verdict_on_the_bundle(bundle, said, short):
    said += [short, GOOD]
    trials = Trials(Settings(engine="onnxruntime"))
    with pytest.raises(Shortage, match=TOO_FEW):
        trials.engines(bundle, beside_traffic=False)

    assert "onnxruntime" in trials.engines(bundle, beside_traffic=False)


@pytest.mark.parametrize("short", [SHORT, b""])
def test_a_shortage_in_the_trial_of_another_engine_refuses_that_engine_this_time(
    bundle, said, short
):
    said += [GOOD, short, GOOD]
    trials = Trials(Settings(engine="auto"))
    first, other = trials.engines(bundle, beside_traffic=False).items()
    again = trials.engines(bundle, beside_traffic=False)

    assert first[1] is ENGINES[first[0]]
    with pytest.raises(BundleError, match=TOO_FEW):
        other[1](bundle, None)
    assert again == ENGINES
    assert not said


def test_words_of_a_shortage_that_a_bundle_itself_makes_its_refusal_contain_are_a_verdict(
    bundle, said
):
    said += [b'{"refused": "there is no operator Too many open files", "short": false}']
    trials = Trials(Settings(engine="onnxruntime"))
    for _ in range(2):
        with pytest.raises(BundleError, match="no operator") as refused:
            trials.engines(bundle, beside_traffic=False)
        assert not isinstance(refused.value, Shortage)


@pytest.mark.parametrize("raised", ["BlockingIOError(11, 'none left')", "BundleError('broken')"])
def test_the_process_says_whether_the_machine_was_short(raised):
    program = (
        "from serving.errors import BundleError; from serving.runtime import trial_process\n"
        f"def fail(*_): raise {raised}\n"
        "trial_process._try = fail; trial_process.main()"
    )
    command = [sys.executable, "-c", program]
    answer = subprocess.run(command, input=b"{}\n", stdout=subprocess.PIPE, check=True).stdout

    assert json.loads(answer)["short"] == ("BlockingIOError" in raised)


def test_a_process_that_there_is_no_thread_to_listen_to_is_ended(trials, bundle, monkeypatch):
    started = []

    class NoThread(Thread):
        def start(self):
            started.append(trials._process)
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(trial, "Thread", NoThread)
    with pytest.raises(RuntimeError, match="new thread"):
        trials.engines(bundle, beside_traffic=False)

    assert started[0].poll() is not None
    assert trials._process is None
