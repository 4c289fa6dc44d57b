import os
import resource
import subprocess
import sys
import tempfile
from threading import Thread
from types import SimpleNamespace

import pytest

from serving.bundles.bundle import read_bundle
from serving.errors import BundleError
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


def test_a_shortage_of_the_machine_is_no_verdict_on_the_bundle(bundle, monkeypatch):
    said = ["its start ended the process (SIGABRT): Resource temporarily unavailable", ""]
    monkeypatch.setattr(Trials, "_try", lambda *_, **__: said.pop(0))
    trials = Trials(Settings(engine="onnxruntime"))
    with pytest.raises(Shortage, match="Resource temporarily unavailable"):
        trials.engines(bundle, beside_traffic=False)

    assert "onnxruntime" in trials.engines(bundle, beside_traffic=False)


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
