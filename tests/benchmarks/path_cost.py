"""CPU microseconds of one classified text in the server, beside the least that it could cost.

`python -m tests.benchmarks.path_cost`

Sizewise with 0, 1 and 2 HTTP processes and tests/benchmarks/reference_server.py run in turns, with
one tokenizer, over engines that only sleep. Figures are the CPU time of a server's processes over
the requests answered, so they bear other work on the machine better than requests/s do. The main
process is the engine process where there are HTTP processes. The last line is JSON: by clients and
server the medians, and the ratio to the reference with the same version of tokenizers.

With --everything the server `everything` also has callers with keys, feedback, and an encrypted
text log of a hundredth of the requests, to which the caller consents. With --before CHECKOUT the
servers `before`, `before-http1` and so on run that checkout's code.
"""

import argparse
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from loadtest.measure.subprocesses import exit_on_sigterm, sigterm_deferred
from loadtest.measure.workload import seeded_texts
from tests.benchmarks import wrk
from tests.benchmarks.bench import alone
from tests.benchmarks.path_servers import KEY, servers
from tests.support.processes import ROOT, clean_environ, free_port

TEXTS = 1024
START_S = 60
STOP_S = 30
IDLE_EVERY_S = 0.3
IDLE_CORES = 0.1


@contextmanager
def running(name, server, body, *, start_s=START_S):
    """A started server that answers and is idle: its process and its URL."""
    port = free_port()
    environ = clean_environ() | {"TOKENIZERS_PARALLELISM": "false", "SIZEWISE_PORT": str(port)}
    command = [part.replace("{port}", str(port)) for part in server.command]
    with tempfile.TemporaryFile() as errors:
        process = None
        try:
            with sigterm_deferred(), named(name):
                process = psutil.Popen(
                    command, cwd=server.folder, env=environ | server.environ,
                    stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True,
                )  # fmt: skip
            url = f"http://127.0.0.1:{port}"
            if not answers(process, url, body, start_s):
                errors.seek(0)
                said = " / ".join(errors.read().decode(errors="replace").splitlines()[-3:])
                sys.exit(f"{name} did not start: {shlex.join(command)}: {said or 'no output'}")
            wait_until_idle(process)
            yield process, url
        finally:
            if process:
                stop(process)


@contextmanager
def named(server):
    """Exit with the server's name where its program cannot be run."""
    try:
        yield
    except OSError as error:
        sys.exit(f"{server} did not start: {error}")


def answers(process, url, body, start_s):
    """Whether the server answers a text before it ends or so many seconds have passed."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(f"{url}/v1/classify", body, headers)
    until = time.monotonic() + start_s
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()
            return True
        time.sleep(0.1)
    return False


def wait_until_idle(process):
    """Wait until a server does nothing: its second HTTP process may start after the first."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        before = sum(cpu_s(process).values())
        time.sleep(IDLE_EVERY_S)
        if sum(cpu_s(process).values()) - before < IDLE_CORES * IDLE_EVERY_S:
            return


def stop(process):
    """End the server and every process that it started."""
    started = [process]
    with suppress(psutil.NoSuchProcess):
        started += process.children(recursive=True)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    _, alive = psutil.wait_procs(started, timeout=STOP_S)
    for each in alive:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(alive, timeout=STOP_S)


def cpu_s(process):
    """CPU seconds so far of a process and its descendants, by process."""
    found = {}
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            found[each.pid] = sum(each.cpu_times()[:2])
    return found


def tokenizers_version(process):
    """The version of the library that a server's processes have loaded, None without one."""
    for each in (process, *process.children(recursive=True)):
        for loaded in each.memory_maps():
            path = Path(loaded.path)
            if path.parent.name == "tokenizers" and ".so" in path.name:
                for info in path.parents[1].glob("tokenizers-*.dist-info"):
                    return info.name.removesuffix(".dist-info").partition("-")[2]
    return None


def measure(name, server, folder, clients, seconds):
    """CPU of one text and what wrk saw, of a server that runs for this alone."""
    bodies = [{"texts": [text], "truncate": True} for text in seeded_texts(TEXTS, seed=0)]
    with running(name, server, json.dumps(bodies[0]).encode()) as (process, url):
        before = cpu_s(process)
        found = wrk.run(url, folder, bodies, clients, seconds, key=KEY)
        used = {pid: total_s - before.get(pid, 0.0) for pid, total_s in cpu_s(process).items()}
        answered = max(1, found["requests"])
        return {
            "us": 1e6 * sum(used.values()) / answered,
            "main_us": 1e6 * used[process.pid] / answered,
            "rps": found["requests"] / found["seconds"],
            "bad": found["bad"],
            "p50_ms": found["p50_ms"],
            "p99_ms": found["p99_ms"],
        }, tokenizers_version(process)


def yardsticks(every, versions):
    """The reference of each server, by the version of tokenizers; exit where one has none."""
    references = {versions[name]: name for name, server in every.items() if server.is_reference}
    for name, version in versions.items():
        if version not in references:
            sys.exit(
                f"{name} has tokenizers {version}, the reference {', '.join(map(str, references))}:"
                " install the same version, or give --before-python"
            )
    return {name: references[version] for name, version in versions.items()}


def rounds(every, folder, clients, arguments):
    """Medians by server, each with its ratio to its reference."""
    found = {name: [] for name in every}
    versions = {}
    for number in range(arguments.rounds):
        for name, server in every.items():
            figures, versions[name] = measure(name, server, folder, clients, arguments.seconds)
            found[name].append(figures)
        reference_of = yardsticks(every, versions)
        costs = ", ".join(f"{name} {each[-1]['us']:.0f} us" for name, each in found.items())
        print(f"{clients} clients, round {number + 1} of {arguments.rounds}: {costs}", flush=True)
    medians = {
        name: {key: statistics.median(each[key] for each in figures) for key in figures[0]}
        for name, figures in found.items()
    }
    for name, figures in medians.items():
        figures["bad"] = sum(each["bad"] for each in found[name])
        figures["ratio"] = figures["us"] / medians[reference_of[name]]["us"]
        figures["tokenizers"] = versions[name]
    return medians


def report(clients, medians):
    print(f"{clients} clients, medians:")
    for name, each in medians.items():
        print(
            f"  {name:16} {each['us']:6.0f} us a text, {each['ratio']:.2f} of the reference; main "
            f"process {each['main_us']:.0f} us; {each['rps']:.0f} requests/s, "
            f"p99 {each['p99_ms']:.0f} ms, bad {each['bad']}, tokenizers {each['tokenizers']}",
            flush=True,
        )


def main():
    exit_on_sigterm()
    arguments = parse()
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        every = servers(arguments, alone(arguments.bundle, Path(folder)), Path(folder))
        for clients in arguments.clients:
            result[clients] = rounds(every, folder, clients, arguments)
            report(clients, result[clients])
    print(json.dumps(result))


def integers(text):
    return [int(each) for each in text.split(",") if each]


def parse():
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.path_cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--bundle", type=Path, default=ROOT / "models/registry/sentiment/small-int8",
        help="whose tokenizer and labels are served",
    )  # fmt: skip
    parser.add_argument("--http-processes", type=integers, default=[0, 1, 2], metavar="N,N")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="of the code to compare")
    parser.add_argument(
        "--before-python", default=sys.executable, metavar="PYTHON",
        help="that runs --before; where it is another one, it has a reference of its own",
    )  # fmt: skip
    parser.add_argument(
        "--server", action="append", default=[], metavar="NAME=COMMAND",
        help="another server; {port} in the command is replaced",
    )  # fmt: skip
    parser.add_argument(
        "--everything", action="store_true", help="also with feedback, callers and a text log"
    )
    parser.add_argument("--clients", type=integers, default=[32, 256], metavar="N,N")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    wrk.require(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
