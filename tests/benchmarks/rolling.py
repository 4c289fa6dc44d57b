"""A rolling update under load behind HAProxy; counts failed requests.

`python -m tests.benchmarks.rolling`

Two instances serve; each is replaced as a Deployment does it: a new one starts and becomes ready,
then the old one gets SIGTERM. HAProxy (Debian's package) asks each for its readiness, as kubelet
does, and repeats no request. wrk keeps 32 connections open all the while.
"""

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tqdm import tqdm

from loadtest.measure.workload import seeded_texts
from tests.benchmarks.bench import served
from tests.support.processes import ROOT, Running, free_port, serving, wait_until_ready

LEAST_REQUESTS = 10_000
CHECK_MS = 250
SETTLE_S = 2.0
BOUND_S = 300
# Readiness stays false for as long as the proxy needs to see it, twice over.
SHUTDOWN_DELAY_MS = 4 * CHECK_MS
CONFIG = """
global
    maxconn 512
defaults
    mode http
    retries 0
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend http
    bind 127.0.0.1:{port}
    default_backend replicas
backend replicas
    balance leastconn
    option httpchk GET /health/ready
    default-server check inter {check_ms}ms fall 1 rise 1
"""


@contextlib.contextmanager
def proxy(folder, ports):
    """HAProxy over all instances that there will be; it finds out itself which are ready."""
    port = free_port()
    servers = "".join(f"    server replica{n} 127.0.0.1:{p}\n" for n, p in enumerate(ports))
    config, log_path = Path(folder) / "haproxy.cfg", Path(folder) / "log"
    config.write_text(CONFIG.format(port=port, check_ms=CHECK_MS) + servers)
    with log_path.open("w") as log:
        process = subprocess.Popen(["haproxy", "-db", "-f", str(config)], stderr=log)
        try:
            yield Running(process, f"http://127.0.0.1:{port}", log_path)
        finally:
            process.terminate()
            process.wait(10)


def load(behind, texts, folder, found, ended):
    """wrk for 5 s again and again, until told that the update is over and enough were sent."""
    until = time.monotonic() + BOUND_S
    with tqdm(total=LEAST_REQUESTS, unit="request") as progress:
        while time.monotonic() < until and not (ended.is_set() and progress.n >= LEAST_REQUESTS):
            found.append(served(behind, folder, "auto", texts, (32, 1), 5))
            progress.update(found[-1]["requests"])


def update(registry, folder):
    """(wrk's summaries, exit statuses of the old instances)."""
    ports = [free_port() for _ in range(4)]
    settings = {"shutdown_delay_ms": SHUTDOWN_DELAY_MS, "threads": 1}
    found, statuses, ended = [], [], threading.Event()
    with contextlib.ExitStack() as stack:

        def start(port):
            return stack.enter_context(serving(registry, port=port, **settings))

        replicas = [start(port) for port in ports[:2]]
        behind = stack.enter_context(proxy(folder, ports))
        wait_until_ready(behind)
        time.sleep(SETTLE_S)
        texts = seeded_texts(4096, seed=0)
        client = threading.Thread(target=load, args=(behind, texts, folder, found, ended))
        client.start()
        try:
            for port, old in zip(ports[2:], replicas, strict=True):
                start(port)
                time.sleep(SETTLE_S)
                statuses.append(old.stop())
                time.sleep(SETTLE_S)
        finally:
            ended.set()
            client.join(BOUND_S)
    return found, statuses


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--registry", type=Path, default=ROOT / "models/registry")
    arguments = parser.parse_args()
    for program in ("haproxy", "wrk"):
        if not shutil.which(program):
            parser.exit(2, f"{program} is missing: apt-get install {program}\n")
    with tempfile.TemporaryDirectory() as folder:
        found, statuses = update(arguments.registry, folder)
    requests, failed = (sum(each[name] for each in found) for name in ("requests", "bad"))
    slowest_ms = max(each["p99_ms"] for each in found)
    print(f"exit statuses of the replaced instances: {statuses}")
    print(f"requests: {requests}, failed: {failed}, largest p99 of 5 s: {slowest_ms:.0f} ms")
    return int(failed > 0 or any(statuses) or requests < LEAST_REQUESTS)


if __name__ == "__main__":
    sys.exit(main())
