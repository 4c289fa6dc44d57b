"""One phase of load, in Locust processes of its own, and its files."""

import json
import subprocess
import time
from dataclasses import asdict, replace
from pathlib import Path

from loadtest.measure.machine import MachineClock
from loadtest.measure.server import LoadTestError
from loadtest.measure.subprocesses import last_lines, python_subprocess
from loadtest.samples import Phase, Samples, read_samples, write_machine
from loadtest.scenario import Scenario

END_TIMEOUT_S = 90.0  # beyond a phase's own time, to start Locust and wait for the last answers
_POLL_S = 0.05
_STOP_S = 35  # how long Locust waits for the last answers if a master ends the run


def run_phase(
    phase: Phase, url: str, folder: Path, scenario: Scenario, server_pid: int | None = None
) -> Samples:
    """Run one phase in Locust processes of its own, because gevent patches its whole process.

    Write samples/<phase>.*.parquet, one file per process, what other programs took of the machine
    beside `server_pid`, and Locust's log into the folder.
    Raise LoadTestError if Locust fails or does not end in time.
    """
    log = folder / "logs" / f"locust-{phase.name}.log"
    before = MachineClock.read(server_pid)
    with python_subprocess(_locust_arguments(phase, url, folder, scenario), log) as locust:
        try:
            status = locust.wait(phase.total_s + END_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise LoadTestError(
                f"Locust was still running {END_TIMEOUT_S:g} s after the phase's end: see {log}"
            ) from error
    if status:
        raise LoadTestError(f"Locust ended with status {status}: {last_lines(log)}; see {log}")
    files = wait_for_files(folder, phase.name, scenario.processes)
    if len(files) < scenario.processes:
        raise LoadTestError(
            f"{len(files)} of {scenario.processes} Locust processes wrote their times: see {log}"
        )
    samples = read_samples(files)
    after = MachineClock.read(server_pid)
    if before is None or after is None:
        return samples
    client_s = scenario.processes * samples.client.cpu_share * phase.total_s
    machine = after.others_since(before, client_s, local=server_pid is not None)
    write_machine(machine_file(folder, phase.name), machine)
    return replace(samples, machine=machine)


def wait_for_files(folder: Path, phase_name: str, count: int) -> list[Path]:
    """Return a phase's files; wait for them, because Locust's master may end before its workers."""
    deadline_s = time.monotonic() + _STOP_S
    while len(files := sample_files(folder, phase_name)) < count:
        if time.monotonic() > deadline_s:
            break
        time.sleep(_POLL_S)
    return files


def sample_files(folder: Path, phase_name: str) -> list[Path]:
    """List the files of raw times of one phase."""
    return sorted((folder / "samples").glob(f"{phase_name}.*.parquet"))


def machine_file(folder: Path, phase_name: str) -> Path:
    """Return the file of what others took of the machine during a phase."""
    return folder / "machine" / f"{phase_name}.json"


def _locust_arguments(phase: Phase, url: str, folder: Path, scenario: Scenario) -> list[str]:
    users = phase.users if phase.kind == "closed" else scenario.processes
    options = {
        "--locustfile": str(Path(__file__).with_name("locustfile.py")),
        "--host": url,
        "--users": str(users),
        "--spawn-rate": str(users),
        "--exit-code-on-error": "0",
        "--phase": json.dumps(asdict(phase)),
        "--samples": str(folder / "samples" / f"{phase.name}.parquet"),
        "--shares": str(scenario.processes),
    }
    if scenario.texts is not None:
        options["--texts"] = str(scenario.texts)
    if scenario.processes > 1:
        options |= {
            "--processes": str(scenario.processes),
            "--run-time": f"{phase.total_s + 1:.0f}s",
            "--stop-timeout": str(_STOP_S),
        }
    words = [word for option in options.items() for word in option]
    user = "ClosedUser" if phase.kind == "closed" else "OpenUser"
    return ["-m", "locust", "--headless", "--only-summary", *words, user]
