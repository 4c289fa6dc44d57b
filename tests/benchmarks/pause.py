"""A server that stops for a second; what each kind of load says of it.

`python -m tests.benchmarks.pause`

The truth needs no client: who arrives in the pause waits for its end, the others take what they
took before it. An open load that counts from the intended start must say the same; a closed one
asks each user once in the pause and forgets everyone who would have come.
"""

import argparse
import os
import signal
import tempfile
from pathlib import Path
from threading import Timer

import numpy as np

from loadtest.measure.locust_phase import run_phase
from loadtest.measure.server import running_server
from loadtest.samples import Phase
from loadtest.scenario import Load, Scenario
from tests.support.processes import ROOT

RATE_RPS = 100.0
SECONDS = 30.0
AT_S = 15.0
PAUSE_S = 1.0
ONE = Scenario(loads=[Load(name="closed", kind="closed", users=1)])


def phase(kind, users):
    return Phase(
        model="sentiment", variant="small-int8", load=kind, round=0, kind=kind, users=users,
        arrivals="poisson", rate_rps=RATE_RPS, trace=None, texts_per_request=1, deadline_ms=None,
        warmup_s=0.0, measured_s=SECONDS, seed=0,
    )  # fmt: skip


def paused(server, folder, asked):
    """The samples of a phase, and when (in its own seconds) the server stopped."""
    stopped = Timer(AT_S, os.kill, (server.pid, signal.SIGSTOP))
    again = Timer(AT_S + PAUSE_S, os.kill, (server.pid, signal.SIGCONT))
    for timer in (stopped, again):
        timer.daemon = True
        timer.start()
    return run_phase(asked, server.url, folder, ONE)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--registry", type=Path, default=ROOT / "models/registry")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with running_server(arguments.registry, folder / "log") as server:
            opened = paused(server, folder, phase("open", 1))
            closed = paused(server, folder, phase("closed", 4))
    ended_s = opened.end_s[np.argmax(opened.latency_ms)]
    stopped_s = ended_s - PAUSE_S
    inside = (opened.intended_s >= stopped_s) & (opened.intended_s < ended_s)
    usual_ms = opened.latency_ms[opened.intended_s < stopped_s]
    waits_ms = 1e3 * (ended_s - opened.intended_s[inside])
    outside = np.random.default_rng(0).choice(usual_ms, opened.status.size - inside.sum())
    true_ms = np.concatenate([waits_ms, outside])
    naive_ms = 1e3 * (opened.end_s - opened.start_s)
    for name, values in (
        ("true", true_ms),
        ("open, from the intended start (the report)", opened.latency_ms),
        ("open, from the real start", naive_ms),
        ("closed, 4 users", closed.latency_ms),
    ):
        p50, p95, p99 = np.quantile(values, (0.5, 0.95, 0.99))
        print(
            f"{name:45} p50 {p50:6.1f}, p95 {p95:6.1f}, p99 {p99:6.1f} ms of {values.size}, "
            f"over 100 ms {np.mean(values > 100):.2%}"
        )


if __name__ == "__main__":
    main()
