import os
import resource
import subprocess
import sys
from types import SimpleNamespace

import pytest

from serving.bundles.bundle import read_bundle
from serving.errors import BundleError
from serving.runtime import trial
from serving.runtime.trial import Trials
from serving.settings import Settings
from tests.support.bundles import write_bundle


@pytest.fixture
def bundle(tmp_path):
    write_bundle(tmp_path / "bundle")
    return read_bundle(tmp_path / "bundle")


@pytest.fixture
def trials():
    made = Trials(Settings())
    yield made
    made._stderr.close()


def test_no_process_is_started_once_the_server_ends(trials, bundle, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_args, **_options: pytest.fail("started"))
    trials.end()

    with pytest.raises(BundleError, match="shutting down"):
        trials.engines(bundle, beside_traffic=False)


def test_a_killed_process_that_does_not_die_is_not_waited_for(trials, monkeypatch):
    def wait(timeout_s):
        raise subprocess.TimeoutExpired("trial", timeout_s)

    monkeypatch.setattr(trial, "_DEATH_S", 0.01)
    trials._process = SimpleNamespace(kill=lambda: None, wait=wait)

    trials.rest()

    assert trials._process is None


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
