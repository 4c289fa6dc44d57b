"""Served throughput and latency of one bundle with N HTTP processes, by clients.

One server for all of them; rounds take turns over the clients. After each measurement a line of
JSON has what is known of those clients so far, so that a run that is stopped loses nothing.
"""

import argparse
import json
import tempfile
from pathlib import Path

import psutil

from loadtest.measure.subprocesses import exit_on_sigterm
from loadtest.measure.workload import seeded_texts
from serving.bundles.bundle import read_bundle
from tests.benchmarks.bench import alone
from tests.benchmarks.gpu_report.busy import Busy
from tests.benchmarks.gpu_report.load import offer
from tests.benchmarks.path_cost import cpu_s, integers
from tests.support.processes import serving

TEXTS = 1024
WARM_CLIENTS, WARM_S = 32, 1
# More than any number of clients here: a refusal would be counted as a failure.
MAX_REQUESTS = 8192


def measured(server, folder, variant, texts, clients, arguments):  # noqa: PLR0917
    engine = psutil.Process(server.process.pid)
    before = cpu_s(engine)
    with Busy(arguments.device) as busy:
        found = offer(server.url, folder, texts, variant, clients, arguments.seconds)
    used = {pid: total_s - before.get(pid, 0.0) for pid, total_s in cpu_s(engine).items()}
    engine_us = 1e6 * used.pop(engine.pid) / max(1, found["answered"])
    return found | {
        "engine_process_us": engine_us,
        "http_processes_us": 1e6 * sum(used.values()) / max(1, found["answered"]),
        "gpu_busy": busy.found,
    }


def main():
    exit_on_sigterm()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--http-processes", type=int, required=True)
    parser.add_argument("--clients", type=integers, required=True)
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    variant = read_bundle(arguments.bundle).manifest.variant
    texts = seeded_texts(TEXTS, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        registry = alone(arguments.bundle, Path(folder))
        settings = {
            "device": arguments.device, "engine": "onnxruntime", "max_requests": MAX_REQUESTS,
            "http_processes": arguments.http_processes,
        }  # fmt: skip
        with serving(registry, **settings) as server:
            offer(server.url, folder, texts, variant, WARM_CLIENTS, WARM_S)
            found = {clients: [] for clients in arguments.clients}
            for _ in range(arguments.rounds):
                for clients, rounds in found.items():
                    rounds.append(measured(server, folder, variant, texts, clients, arguments))
                    print(json.dumps({str(clients): rounds}), flush=True)


if __name__ == "__main__":
    main()
