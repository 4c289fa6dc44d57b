"""The folder of a run as `python -m loadtest run` leaves it, of simulated servers."""

import json

import numpy as np

from loadtest.measure.run import SCHEMA_VERSION
from loadtest.samples import (
    SERVER_STEPS,
    ClientLoad,
    MachineLoad,
    Phase,
    RequestSample,
    write_machine,
    write_samples,
)
from loadtest.scenario import Scenario
from tests.support.queues import arrivals_s, departures_s

ROUNDS = 3
SHARES = (0.2, 0.4, 0.6)
CAPACITY_RPS = {"large": 300.0, "small": 900.0}
ACCURACY = {"large": 0.91, "small": 0.86}


def write_run(folder, *, deploy=None, slowdown=1.0, disturbed=(), url=None, extra=(), slo_ms=50.0):
    """Write run.json and raw times of two variants, each an M/M/1 server.

    `disturbed` are phases (variant, load, round) beside which others used the machine;
    `slowdown` is that of all servers, at the same rates; `extra` are loads beside the usual ones.
    """
    loads = [{"name": "closed", "kind": "closed", "users": 8}]
    loads += [{"name": f"open-{share:.0%}".rstrip("%"), "kind": "open", "share": share}
              for share in SHARES] + list(extra)  # fmt: skip
    scenario = Scenario.model_validate(
        {
            "rounds": ROUNDS,
            "warmup_s": 0.5,
            "measured_s": 4.0,
            "loads": loads,
            "deploy": deploy,
            "slo_p99_ms": slo_ms,
        }
    )
    random = np.random.default_rng(7)
    for variant, capacity_rps in CAPACITY_RPS.items():
        for load in scenario.loads:
            for number in range(ROUNDS):
                _write_phase(
                    folder, random, _phase(variant, load, number, capacity_rps),
                    capacity_rps / slowdown / load.texts_per_request,
                    (variant, load.name, number) in disturbed,
                )  # fmt: skip
    about = {
        "schema_version": SCHEMA_VERSION, "started_utc": "2026-11-27T12:00:00+00:00",
        "command": "python -m loadtest run own.toml",
        "machine": {"cpu": "a processor", "cores": 4, "system": "Linux", "python": "3.11",
                    "versions": {"locust": "2"}},
        "url": url, "scenario": scenario.model_dump(mode="json"), "alternation": None,
        "models": [{"model": "tone", "cascade": None, "variants": [*map(_listed, CAPACITY_RPS)]}],
        "servers": [], "saturated_rps": {},
        "planned_phases": ROUNDS * len(scenario.loads) * len(CAPACITY_RPS),
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(about))
    return folder


def _listed(variant):
    value = ACCURACY[variant]
    accuracy = {"value": value, "low": value - 0.005, "high": value + 0.005}
    return {
        "variant": variant, "version": "1", "precision": "int8", "parameters": 1_000_000,
        "bytes": 4_000_000, "engine": "onnxruntime", "state": "ready",
        "evaluations": {"test": {"accuracy": accuracy}},
    }  # fmt: skip


def _phase(variant, load, number, capacity_rps):
    share = load.share or 0.9
    return Phase(
        model="tone", variant=variant, load=load.name, round=number, kind=load.kind,
        users=load.users or 1, arrivals=load.arrivals,
        rate_rps=0.0 if load.kind == "closed" else share * capacity_rps, trace=None,
        texts_per_request=load.texts_per_request, deadline_ms=None, warmup_s=0.5,
        measured_s=4.0, seed=number,
    )  # fmt: skip


def _write_phase(folder, random, phase, capacity_rps, is_disturbed):
    due_s = arrivals_s(random, phase) if phase.rate_rps else _closed_s(random, phase, capacity_rps)
    services_s = random.exponential(1.0 / capacity_rps, due_s.size)
    end_s = departures_s(due_s, services_s)
    steps = dict.fromkeys(SERVER_STEPS, 0.3)
    rows = [
        RequestSample(due, due, end, 200, 100, steps)
        for due, end in zip(due_s.tolist(), end_s.tolist(), strict=True)
    ]
    write_samples(folder / "samples" / f"{phase.name}.0.parquet", rows, phase, ClientLoad(0.0, 0.1))
    busy = MachineLoad(0.4 if is_disturbed else 0.0)
    write_machine(folder / "machine" / f"{phase.name}.json", busy)


def _closed_s(random, phase, capacity_rps):
    """Requests that begin as others end, so that the server is always busy."""
    gaps_s = random.exponential(1.0 / capacity_rps, int(capacity_rps * phase.total_s))
    return np.cumsum(gaps_s)
