"""The figures of a GPU in one run: `make gpu-report`, or `python -m tests.benchmarks.gpu_report`.

The gpu tests, the teacher's offline ceilings, served throughput and latency by clients and HTTP
processes, and path_cost, within a budget of minutes; a part that does not fit is named. Parts that
are done are kept: after a kill the same command goes on. It needs no network. --device cpu runs
all of it short.
"""

import argparse
import os
import resource
import shlex
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from loadtest.measure.environment import environment
from loadtest.measure.subprocesses import exit_on_sigterm
from tests.benchmarks.gpu_report import parts
from tests.benchmarks.gpu_report.busy import gpu
from tests.benchmarks.gpu_report.needs import library_folders
from tests.benchmarks.gpu_report.report import Other, Report, left_out
from tests.benchmarks.gpu_report.run import run

# To end a part at its limit, and to write the page.
END_AND_PAGE_S = 20
FILES_A_CLIENT = 4
NO_WRK = "wrk is missing: tests/support/closed_loop.py makes the load, and path_cost does not run"


def main():
    exit_on_sigterm()
    arguments = parse()
    began_s = time.monotonic()
    out, logs = arguments.out, arguments.out / "logs"
    _allow_files(max(arguments.clients))
    if arguments.device == "cuda":
        folders = filter(None, [os.environ.get("LD_LIBRARY_PATH"), *library_folders()])
        os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(folders)
    needs = run(parts.needs(arguments.device), 60, logs)
    if needs.state != "done":
        told = (logs / "needs.out").read_text().strip() or needs.reason
        print(f"gpu_report: {told}", file=sys.stderr)
        return 2
    with_wrk = shutil.which("wrk") is not None
    if not with_wrk:
        print(NO_WRK, file=sys.stderr)
    teacher = run(parts.teacher(arguments.registry, arguments.shape, out / "registry"), 60, logs)
    if teacher.state != "done":
        print(f"gpu_report: no teacher: {teacher.reason}", file=sys.stderr)
        return 2
    subject = subject_of(arguments, teacher.result)
    report = Report(out / "report.json", subject, about(needs.result))
    if not arguments.restart:
        try:
            report.resume()
        except Other as error:
            print(f"gpu_report: {error}", file=sys.stderr)
            return 2
    report.save()
    folders = {precision: each["folder"] for precision, each in teacher.result.items()}
    report.measure(
        parts.parts(
            arguments.device, folders, arguments.clients, arguments.http_processes,
            with_wrk=with_wrk,
        ),
        began_s + 60 * arguments.minutes - END_AND_PAGE_S, logs,
    )  # fmt: skip
    return conclude(report.content, out, logs)


def subject_of(arguments, teacher):
    """What the figures are of; parts of another subject are never kept beside them."""
    halves = {precision: each["version"] for precision, each in teacher.items()}
    return {
        "device": arguments.device,
        "gpu": gpu().get("name") if arguments.device == "cuda" else None,
        "commit": commit(),
        "teacher": {
            "origin": teacher["fp32"]["origin"], "parameters": teacher["fp32"]["parameters"],
            "versions": halves,
        },
        "clients": arguments.clients,
        "http_processes": arguments.http_processes,
    }  # fmt: skip


def about(versions):
    """The machine, and the command that measures it."""
    machine = environment()
    machine["versions"] |= versions
    return {
        "started_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", parts.PROGRAM, *sys.argv[1:]]),
        "machine": machine,
        "gpu": gpu(),
    }


def commit():
    command = ["git", "describe", "--always", "--dirty"]
    try:
        told = subprocess.run(command, cwd=parts.ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return told.stdout.strip()


def conclude(content, out, logs):
    """Write the page and say what to do next; the exit status."""
    made = run(parts.page(out / "report.json", out / "report.html"), 60, logs)
    if made.state != "done":
        print(f"gpu_report: no page: {made.reason}", file=sys.stderr)
    lacks = left_out(content)
    failed = content["parts"].get("gpu tests", {}).get("result", {}).get("failed", {})
    for name, why in failed.items():
        print(f"FAILED {name}: {why}")
    for each in lacks:
        print(f"Not measured: {each}")
    print(f"Figures: {out / 'report.json'}, page: {out / 'report.html'}")
    if lacks:
        print("Next: run the same command again; what is done is kept")
    else:
        print("Next: read the page, and put what is worth keeping into docs/development/benchmarks")
    return int(bool(lacks or failed) or made.state != "done")


def _allow_files(clients):
    """Let wrk and the servers open a socket for every client."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_A_CLIENT * clients
    if soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def integers(text):
    return [int(each) for each in text.split(",")]


def parse():
    parser = argparse.ArgumentParser(
        prog=f"python -m {parts.PROGRAM}", description=__doc__.partition("\n\n")[2]
    )
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument(
        "--registry", type=Path,
        help="folder that has the teacher, an fp32 text classifier; without one its weights are "
        "random (default on cuda: build/registry if it exists; on cpu: none)",
    )  # fmt: skip
    parser.add_argument(
        "--clients", type=integers, default=[32, 256, 1024], metavar="N,N",
        help="at a time (default: 32,256,1024)",
    )  # fmt: skip
    parser.add_argument(
        "--http-processes", type=integers, default=[0, 2, 4, 8], metavar="N,N",
        help="in front of the engine process (default: 0,2,4,8)",
    )  # fmt: skip
    parser.add_argument("--minutes", type=float, default=9, help="for all of it (default: 9)")
    parser.add_argument(
        "--out", type=Path, default=parts.ROOT / "build" / "gpu-report",
        help="folder of report.json and report.html (default: build/gpu-report)",
    )  # fmt: skip
    parser.add_argument("--restart", action="store_true", help="measure what is done again")
    arguments = parser.parse_args()
    if arguments.registry and not arguments.registry.is_dir():
        parser.error(f"--registry: {arguments.registry} is not a folder")
    built = parts.ROOT / "build" / "registry"
    if arguments.registry is None and arguments.device == "cuda" and built.is_dir():
        arguments.registry = built
    # The parts run in another folder.
    arguments.out = arguments.out.resolve()
    arguments.registry = arguments.registry and arguments.registry.resolve()
    arguments.shape = "minilm" if arguments.device == "cuda" else "tiny"
    return arguments


if __name__ == "__main__":
    sys.exit(main())
