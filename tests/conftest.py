import functools
import importlib
import os
import signal
import tempfile
import warnings

import httpx._transports.default
import pytest
from hypothesis import settings

from serving.bundles.registry import read_registry
from tests.support.bundles import write_registry
from tests.support.decisions import decider, decisions_of, write_decisions
from tests.support.processes import ROOT, SETTINGS, serving
from tests.support.slow import is_slow

# PyTorch's threads spin while they wait for each other: beside another worker they hold its cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Where it is set, each program that a test starts compiles all modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
# Under nohup the processes that tests start would ignore SIGHUP too; a handler is not inherited.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)
# Importing OpenVINO is half of a start; what `auto` chooses is tested for itself.
SETTINGS["engine"] = "onnxruntime"
# Each client would read all authorities anew, which takes longer than most requests here.
httpx._transports.default.create_ssl_context = functools.cache(httpx.create_ssl_context)
# What a start measures takes as long as the rest of it.
_TUNING = tempfile.TemporaryDirectory(prefix="sizewise-tuning-")
SETTINGS["tuning"] = _TUNING.name
# A busy machine misses the usual one.
SETTINGS["ext_proc_deadline_ms"] = 10_000


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark what is slow; keep a file's tests on one worker, and all that share the teacher.

    The load test's slow tests measure load, so that nothing may run beside them.
    """
    for item in items:
        if is_slow(item):
            item.add_marker("slow")
            if item.path.is_relative_to(ROOT / "tests" / "loadtest"):
                item.add_marker("alone")
        group = "tone" if "tone" in item.fixturenames else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def tiny_registry(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("tiny")
    return write_registry(scratch / "registry", scratch)


@pytest.fixture(scope="session")
def guards(tmp_path_factory):
    """A registry of the tiny family, which flags what is negative."""
    scratch = tmp_path_factory.mktemp("guards")
    registry = write_registry(scratch / "registry", scratch)
    (registry / "tone" / "policy.json").write_text('{"harmless": ["positive"]}')
    return registry


@pytest.fixture(scope="session")
def deciding_guards(tmp_path_factory):
    """The same with decisions from 0.4 on, which do not count for the long texts in windows."""
    scratch = tmp_path_factory.mktemp("deciding_guards")
    registry = write_registry(scratch / "registry", scratch)
    (registry / "tone" / "policy.json").write_text('{"harmless": ["positive"]}')
    (registry / "tone" / "windows.json").write_text('{"long": "windows"}')
    versions = {b.manifest.variant: b.manifest.version for b in read_registry(registry)["tone"]}
    made = [decider(versions, {"negative": 0.4}, variant=variant) for variant in versions]
    write_decisions(registry, decisions_of(*made))
    return registry


@pytest.fixture(scope="module")
def server(tiny_registry):
    with serving(tiny_registry) as running:
        yield running


@pytest.fixture(scope="session")
def tone(tmp_path_factory):
    """A trained tiny teacher; imported late, because serving's tests need no torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tiny_teacher = importlib.import_module("tests.support.tiny_teacher")
        return tiny_teacher.train_teacher(tmp_path_factory.mktemp("tone"))
