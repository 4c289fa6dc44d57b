"""The measurement: every choice under every load, in interleaved rounds, on servers of its own."""

import json
import os
import shutil
import subprocess
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtest.analysis.summary import summarise
from loadtest.measure.choice import Choice, available_choices, check_stages
from loadtest.measure.environment import environment
from loadtest.measure.null_model import NULL_MODEL, publish_null_model
from loadtest.measure.server import LoadTestError, Server, request_json, running_server
from loadtest.measure.subprocesses import last_lines, python_subprocess
from loadtest.progress import progress
from loadtest.samples import Phase, Samples, read_samples
from loadtest.scenario import Load, Scenario

SCHEMA_VERSION = 2
END_TIMEOUT_S = 90.0  # beyond a phase's own time, to start Locust and wait for the last answers
_POLL_S = 0.05
_STOP_S = 35  # how long Locust waits for the last answers if a master ends the run

# The files in a family's folder that a server needs for the cascade.
_CASCADE_FILES = ("cascade.json", "policy.json")


@dataclass
class Measurement:
    """A running measurement; `folder` holds its raw times, `about` the contents of run.json."""

    folder: Path
    scenario: Scenario
    registry: Path | None
    url: str | None
    about: dict[str, Any]
    saturated_rps: dict[Choice, float] = field(default_factory=dict)

    def save(self) -> None:
        """Write run.json, so that an interrupted run can be reported too."""
        (self.folder / "run.json").write_text(json.dumps(self.about, indent=2) + "\n")

    def server(self, choice: Choice) -> AbstractContextManager[Server]:
        """Return the given server, or start one for this choice alone."""
        if self.url is not None:
            return nullcontext(Server(self.url))
        settings = {"SIZEWISE_BROWNOUT_MS": str(choice.brownout_ms)} if choice.brownout_ms else {}
        log = self.folder / "logs" / f"server-{choice.name}.log"
        return running_server(self.folder / "registries" / choice.name, log, settings)


def run(
    scenario: Scenario,
    out: Path,
    command: str,
    *,
    registry: Path | None = None,
    url: str | None = None,
    wanted: list[str] | None = None,
) -> Path:
    """Measure each choice under each load in each round, and return the folder of raw times.

    The choices are the variants and the cascades. With a registry, each runs on servers of its
    own, and cascades are measured under brownout too; with a URL, that server gets the load.
    The folder holds run.json (the command, the environment and the server's list of variants),
    samples/*.parquet and logs/.
    Raise LoadTestError with the remedy if nothing can be measured.
    """
    started = datetime.now(UTC)
    folder = out / started.strftime("%Y%m%dT%H%M%SZ")
    folder.mkdir(parents=True)
    print(
        f"Raw times are written to {folder}. If the run is interrupted, report what it has with\n"
        f"  python -m loadtest report {folder}"
    )
    first = (
        running_server(registry, folder / "logs" / "server.log") if registry else nullcontext(None)
    )
    with first as server:
        listed = request_json(f"{server.url if server else url}/v1/models")["models"]
    about = {
        "schema_version": SCHEMA_VERSION,
        "started_utc": started.isoformat(timespec="seconds"),
        "command": command,
        "machine": environment(),
        "url": url,
        "scenario": scenario.model_dump(mode="json"),
        "models": listed,
        "servers": [],
    }
    measurement = Measurement(folder, scenario, registry, url, about)
    measurement.save()
    brownout_ms = scenario.brownout_ms if registry else None
    chosen = list(available_choices(listed, brownout_ms, wanted))
    if registry is not None:
        _link_registries(measurement, chosen)
        chosen += [Choice(*NULL_MODEL, stages=NULL_MODEL[1:])] if scenario.floor else []
    _run_rounds(measurement, chosen)
    return folder


def _link_registries(measurement: Measurement, chosen: list[Choice]) -> None:
    """Link a registry for each choice, so that it is measured alone, and add the null model's."""
    assert measurement.registry is not None, "only a registry can be linked"
    registries = measurement.folder / "registries"
    for choice in chosen:
        source = measurement.registry / choice.model
        family = registries / choice.name / choice.model
        family.mkdir(parents=True)
        files = _CASCADE_FILES if len(choice.stages) > 1 else ()
        for name in (*choice.stages, *files):
            if (source / name).exists():
                _link((source / name).resolve(), family / name)
    if measurement.scenario.floor:
        first = chosen[0]
        bundle = measurement.registry / first.model / first.stages[0]
        publish_null_model(bundle, registries / ".".join(NULL_MODEL))


def _link(source: Path, target: Path) -> None:
    """Link a file, or the files of a folder; a registry may hold no symbolic links that lead out.

    They are copied where they cannot be linked: the report may be on another file system.
    """
    if source.is_dir():
        target.mkdir()
        for each in source.iterdir():
            _link(each.resolve(), target / each.name)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _run_rounds(measurement: Measurement, chosen: list[Choice]) -> None:
    """Start each round with another choice, so that a drift of the machine affects all alike."""
    loads = measurement.scenario.loads
    total = measurement.scenario.rounds * len(chosen) * len(loads)
    with progress(total, "phases") as bar:
        for number in range(measurement.scenario.rounds):
            start = number % len(chosen)
            for choice in chosen[start:] + chosen[:start]:
                with measurement.server(choice) as server:
                    check_stages(server.url, choice)
                    for load in loads:
                        bar.set_postfix_str(f"{choice.variant}, {load.name}, round {number + 1}")
                        _run_load(measurement, choice, load, number, server.url)
                        bar.update()
                    measurement.about["servers"].append(
                        {
                            "model": choice.model,
                            "variant": choice.variant,
                            "round": number,
                            "ready_s": server.ready_s,
                            "peak_bytes": server.peak_bytes(),
                        }
                    )
                    measurement.save()


def _run_load(measurement: Measurement, choice: Choice, load: Load, number: int, url: str) -> None:
    """Run one phase; the first closed load of the first round sets the rates given as shares."""
    scenario = measurement.scenario
    phase = Phase(
        model=choice.model,
        variant=choice.variant,
        load=load.name,
        round=number,
        kind=load.kind,
        users=load.users or 1,
        arrivals=load.arrivals,
        rate_rps=load.rate_rps or (load.share or 0.0) * measurement.saturated_rps.get(choice, 0.0),
        trace=str(load.trace) if load.trace else None,
        texts_per_request=load.texts_per_request,
        deadline_ms=scenario.deadline_ms,
        warmup_s=scenario.warmup_s,
        measured_s=load.measured_s or scenario.measured_s,
        seed=scenario.seed + number,
        pairs=choice.pairs,
    )
    samples = run_phase(phase, url, measurement.folder, scenario)
    if load.kind == "closed" and choice not in measurement.saturated_rps:
        achieved_rps = summarise(samples, scenario.slo_p99_ms).achieved_rps
        if achieved_rps <= 0.0:
            raise LoadTestError(
                f"{choice.variant} answered nothing under the load {load.name}, so rates given as "
                f"shares of it are unknown: see {measurement.folder / 'logs'}"
            )
        measurement.saturated_rps[choice] = achieved_rps


def run_phase(phase: Phase, url: str, folder: Path, scenario: Scenario) -> Samples:
    """Run one phase in Locust processes of its own, because gevent patches its whole process.

    Write samples/<phase>.*.parquet, one file per process, and Locust's log into the folder.
    Raise LoadTestError if Locust fails or does not end in time.
    """
    log = folder / "logs" / f"locust-{phase.name}.log"
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
    return read_samples(files)


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
