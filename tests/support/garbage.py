"""Servers without Python's cyclic collector, and what only that would free."""

import contextlib
import json
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.fronts import fronts
from tests.support.processes import ROOT, Running, serving

WITNESS = {"builtins.list": 1}
"""What a process leaves that has left nothing."""
# What gRPC and protobuf leave of each call, or make anew after each collection.
_LIBRARIES = ("grpc.", "google.", "_cython", "importlib.", "builtins.tuple", "builtins.dict")
_WITHIN_S = 20


@dataclass
class Uncollected:
    server: Running
    folder: Path
    hold: Path
    """While this file exists, the engine returns nothing."""
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def url(self):
        return self.server.url

    def reports(self):
        """What each process has to say; see uncollected/sitecustomize.py."""
        pids = [self.server.process.pid, *(each.pid for each in fronts(self.server))]
        found = []
        for pid in pids:
            report = self.folder / str(pid)
            report.unlink(missing_ok=True)
            os.kill(pid, signal.SIGUSR1)
            until_s = time.monotonic() + _WITHIN_S
            while not report.exists():
                assert time.monotonic() < until_s, self.server.log()
                time.sleep(0.005)
            found.append(json.loads(report.read_text()))
        return found

    def left(self):
        """What all processes have left, once no connection and no request is there."""
        left = Counter()
        until_s = time.monotonic() + _WITHIN_S
        while True:
            reports = self.reports()
            for report in reports:
                left += Counter(report["left"]) - Counter(WITNESS)
                assert report["left"].keys() >= WITNESS.keys()
            if not any(report["alive"] for report in reports):
                return dict(left)
            assert time.monotonic() < until_s, reports
            time.sleep(0.05)


def of_ours(left):
    """Without what gRPC's own library leaves of each call."""
    return {name: count for name, count in left.items() if not name.startswith(_LIBRARIES)}


@contextlib.contextmanager
def uncollected(registry, folder, **settings):
    """A server whose engine waits while the file `hold` exists."""
    hold = folder / "hold"
    environ = {
        "GARBAGE": str(folder),
        "PYTHONPATH": str(ROOT / "tests" / "support" / "uncollected"),
        "SLOW_HOLD": str(hold),
    }
    how = {"program": "tests.support.slow_serving", "environ": environ, "threads": 1}
    with serving(registry, **how, **settings) as server:
        ports = {name: port for name, port in settings.items() if name.endswith("_port")}
        yield Uncollected(server, folder, hold, ports)
