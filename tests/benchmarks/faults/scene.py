"""A fault, and the scene in which it happens: one server, its registry and who watches it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from serving.bundles.registry import publish
from tests.benchmarks.faults.outcome import Check
from tests.support.bundles import write_bundle
from tests.support.fronts import fronts
from tests.support.processes import ROOT, Running, serving

SETTINGS = {"engine": "onnxruntime", "scan_ms": 300, "shutdown_delay_ms": 300, "threads": 1}
LIMIT_S = 30
POLL_S = 0.02


@dataclass
class Fault:
    name: str
    inject: Callable
    checks: tuple[Check, ...]
    group: str
    start: bool
    """Whether it is there before the server starts."""
    stops: bool
    """Whether it stops or ends processes: then no bound holds on the time without an answer."""
    ends: bool
    """Whether the server ends by itself: else SIGTERM must end it, with exit status 0."""
    quick: bool
    prepare: Callable[[Path], dict]
    """What the server is started with, in this folder, and `kept`."""
    how: dict = field(default_factory=dict)

    @property
    def bounded(self):
        """Whether a bound holds on the time without an answer."""
        return not (self.stops or self.ends or self.start)

    @property
    def mode(self):
        count = self.how.get("http_processes")
        return f"{count} HTTP processes" if count else "one process"


FAULTS: dict[str, Fault] = {}


def fault(
    name,
    *checks,
    start=False,
    stops=False,
    ends=False,
    quick=False,
    prepare=lambda _place: {},
    **how,
):
    """Register the function that injects this fault."""

    def register(inject):
        group = inject.__module__.rpartition(".")[2].removesuffix("_faults")
        assert name not in FAULTS, name
        FAULTS[name] = Fault(name, inject, checks, group, start, stops, ends, quick, prepare, how)
        return inject

    return register


class Unavailable(Exception):
    """This machine cannot inject the fault."""


@dataclass
class Scene:
    server: Running
    place: Path
    """A folder for what the fault needs; `registry` in it is served."""
    kept: object = None
    """What the fault's preparation has left to it, as `kept`."""
    injected_s: float = 0.0
    healed_s: float = 0.0
    ended_s: float = 0.0
    notes: list = field(default_factory=list)
    broken: list = field(default_factory=list)

    @property
    def registry(self):
        return self.place / "registry"

    @property
    def family(self):
        return self.registry / "tone"

    @property
    def pid(self):
        return self.server.process.pid

    @property
    def port(self):
        return int(self.server.url.rpartition(":")[2])

    def fronts(self):
        return [each.pid for each in fronts(self.server)]

    def trials(self):
        found = []
        for each in psutil.Process(self.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if "serving.runtime.trial_process" in each.cmdline():
                    found.append(each.pid)
        return found

    def injected(self):
        """Note that the fault is there from now on."""
        self.injected_s = self.injected_s or time.monotonic()

    def healed(self):
        """Note that the fault is gone."""
        self.healed_s = time.monotonic()

    def kill(self, *pids, sig=signal.SIGKILL):
        """Send a signal: this is the fault."""
        self.injected()
        for pid in pids:
            os.kill(pid, sig)

    def stop(self, seconds, *pids):
        """Stop processes for a while."""
        self.kill(*pids, sig=signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            self.healed()

    def slow(self, seconds, on_s, off_s, *pids):
        """Let processes run for `on_s` of every `on_s + off_s`."""
        self.injected()
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            for sig, pause_s in ((signal.SIGSTOP, off_s), (signal.SIGCONT, on_s)):
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, sig)
                time.sleep(pause_s)
        self.healed()

    def watch(self, seconds):
        """Let clients go on."""
        time.sleep(seconds)

    def until(self, condition, what, seconds=LIMIT_S):
        """Wait until something holds, which is part of the promise."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            with contextlib.suppress(httpx.HTTPError):
                if condition():
                    return True
            time.sleep(POLL_S)
        self.broken.append(f"not within {seconds:g} s: {what}")
        return False

    def require(self, condition, what):
        """Note a broken promise unless this holds."""
        if not condition:
            self.broken.append(what)

    def until_ready(self):
        """Wait until the server is ready."""
        self.until(lambda: self.get("/health/ready").status_code == 200, "the server is ready")

    def until_ended(self, seconds=LIMIT_S):
        """Wait until the server's main process has ended."""
        if self.until(lambda: self.server.process.poll() is not None, "the server ends", seconds):
            self.ended_s = time.monotonic()

    def get(self, path):
        return httpx.get(f"{self.server.url}{path}", timeout=5)

    def until_logged(self, event, seconds=LIMIT_S):
        """Wait for an event of the log."""
        said = f'"event":"{event}"'
        self.until(lambda: said in self.server.log_path.read_text(), f"`{event}`", seconds)

    def refused(self):
        """The reasons of what is refused, by path."""
        return self.get("/v1/models").json()["refused"]

    def until_refused(self, word, seconds=LIMIT_S):
        """Wait until something is refused whose path or reason holds `word`."""
        self.until(lambda: word in json.dumps(self.refused()), f"{word} is refused", seconds)

    def versions(self):
        models = self.get("/v1/models").json()["models"]
        return {each["version"] for model in models for each in model["variants"]}

    def another(self, **how):
        """Another server of the same registry."""
        return serving(self.registry, **SETTINGS | how)

    def publish(self, **how):
        """Publish another version of the variant `tiny`; return its version."""
        made = self.place / f"made{time.monotonic_ns()}"
        version = write_bundle(made, variant="tiny", accuracy=0.85, **how).version
        publish(made, self.registry)
        return version

    def until_served(self, version, seconds=LIMIT_S):
        """Wait until a version is served."""
        self.until(lambda: version in self.versions(), "the new version is served", seconds)


def fresh_registry(source, place):
    shutil.copytree(source, place / "registry")
    return place / "registry"


@contextlib.contextmanager
def watching(port):
    """(a function that waits until the usual has been seen, one that ends and returns all)"""
    command = [sys.executable, "-m", "tests.benchmarks.faults.watcher", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def begun():
        assert process.stdout.readline() == b"begun\n", "the watcher has ended"

    def seen():
        said, _ = process.communicate(timeout=LIMIT_S)
        return json.loads(said.splitlines()[-1])

    try:
        yield begun, seen
    finally:
        process.kill()
        process.wait()
