"""The measurement: which variants, which loads, in which order, on which server.

It does not know how a request is sent (locustfile.py) nor how figures are made (summary.py).
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtest.analysis.cascade_choices import asked, choices
from loadtest.analysis.summary import summarise
from loadtest.measure.environment import machine
from loadtest.measure.null_model import FLOOR, write_floor
from loadtest.measure.server import LoadTestError, Server, ask, served
from loadtest.measure.subprocesses import child, last_words
from loadtest.progress import progress
from loadtest.samples import Phase, Samples, read_samples
from loadtest.scenario import Load, Scenario

SCHEMA_VERSION = 2
END_BOUND_S = 90.0  # beyond a phase's own time: starting Locust, and its longest wait
_STOP_S = 35  # Locust's own wait for the last answers, where a master ends the run

# What a family's folder holds beside its variants, for the server of a cascade.
_CASCADE_FILES = ("cascade.json", "policy.json")


@dataclass(frozen=True)
class Target:
    """One choice of a family: a variant alone, or a cascade of several `stages`."""

    model: str
    variant: str
    stages: tuple[str, ...]
    brownout_ms: int | None = None

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.model}.{self.variant}"


@dataclass
class Run:
    """One measurement: what was asked and what is known so far; `folder` holds its raw times."""

    folder: Path
    scenario: Scenario
    registry: Path | None
    url: str | None
    about: dict[str, Any]
    saturated_rps: dict[Target, float] = field(default_factory=dict)

    def keep(self) -> None:
        """Writes run.json, so that a run that breaks off has its report too."""
        (self.folder / "run.json").write_text(json.dumps(self.about, indent=2) + "\n")

    def server(self, target: Target) -> AbstractContextManager[Server]:
        """The server that was given, or one of its own for this choice alone."""
        if self.url is not None:
            return nullcontext(Server(self.url))
        settings = {"SIZEWISE_BROWNOUT_MS": str(target.brownout_ms)} if target.brownout_ms else {}
        log = self.folder / "logs" / f"server-{target.name}.log"
        return served(self.folder / "registries" / target.name, log, settings)


def run(
    scenario: Scenario,
    out: Path,
    command: str,
    *,
    registry: Path | None = None,
    url: str | None = None,
    wanted: list[str] | None = None,
) -> Path:
    """Measures each variant under each load in each round and returns the folder of raw times.

    So is a family's cascade. With a registry every one gets servers of its own, also one under
    brownout for the cascade; with a URL that server is driven.
    The folder holds run.json (what was asked, where, and the server's own list of variants),
    samples/*.parquet and logs/.
    Raises LoadTestError when nothing can be measured, with the remedy.
    """
    started = datetime.now(UTC)
    folder = out / started.strftime("%Y%m%dT%H%M%SZ")
    folder.mkdir(parents=True)
    print(f"Raw times go to {folder}; should the run break off: python -m loadtest report {folder}")
    first = served(registry, folder / "logs" / "server.log") if registry else nullcontext(None)
    with first as server:
        listed = ask(f"{server.url if server else url}/v1/models")["models"]
    about = {
        "schema_version": SCHEMA_VERSION,
        "started_utc": started.isoformat(timespec="seconds"),
        "command": command,
        "machine": machine(),
        "url": url,
        "scenario": scenario.model_dump(mode="json"),
        "models": listed,
        "servers": [],
    }
    this = Run(folder, scenario, registry, url, about)
    this.keep()
    brownout_ms = scenario.brownout_ms if registry else None
    targets = list(_targets(listed, brownout_ms, wanted))
    if registry is not None:
        _lay_out(this, targets)
        targets += [Target(*FLOOR, stages=FLOOR[1:])] if scenario.floor else []
    _rounds(this, targets)
    return folder


def _targets(
    models: list[dict[str, Any]], brownout_ms: int | None, wanted: list[str] | None
) -> Iterator[Target]:
    """Every choice that was asked for; all of them by default."""
    ready = []
    for model in models:
        for each in choices(model, brownout_ms):
            target = Target(
                model["model"], each["variant"], tuple(each["stages"]), each["brownout_ms"]
            )
            if each["state"] == "ready":
                ready.append(target)
            else:
                print(f"{target.model}/{target.variant}: left out, its state is {each['state']}")
    names = {target.variant for target in ready}
    if missing := set(wanted or ()) - names:
        raise LoadTestError(
            f"--variant {', '.join(sorted(missing))}: not served; "
            f"there is {', '.join(sorted(names))}"
        )
    yield from (target for target in ready if not wanted or target.variant in wanted)


def _lay_out(this: Run, targets: list[Target]) -> None:
    """A registry of its own for every choice, so that each is measured alone, and the floor's."""
    assert this.registry is not None, "without a registry there is nothing to lay out"
    registries = this.folder / "registries"
    for target in targets:
        source, family = this.registry / target.model, registries / target.name / target.model
        family.mkdir(parents=True)
        files = _CASCADE_FILES if len(target.stages) > 1 else ()
        for name in (*target.stages, *files):
            if (source / name).exists():
                (family / name).symlink_to((source / name).resolve())
    if this.scenario.floor:
        first = targets[0]
        write_floor(this.registry / first.model / first.stages[0], registries / ".".join(FLOOR))


def _rounds(this: Run, targets: list[Target]) -> None:
    """Every round begins with another choice, so that a drift of the machine hits all alike."""
    loads = this.scenario.loads
    total = this.scenario.rounds * len(targets) * len(loads)
    with progress(total, "phases") as bar:
        for number in range(this.scenario.rounds):
            turn = number % len(targets)
            for target in targets[turn:] + targets[:turn]:
                with this.server(target) as server:
                    _check_who_answers(server.url, target)
                    for load in loads:
                        bar.set_postfix_str(f"{target.variant}, {load.name}, round {number + 1}")
                        _measure(this, target, load, number, server.url)
                        bar.update()
                    this.about["servers"].append(
                        {
                            "model": target.model,
                            "variant": target.variant,
                            "round": number,
                            "ready_s": server.ready_s,
                            "peak_bytes": server.peak_bytes(),
                        }
                    )
                    this.keep()


def _check_who_answers(url: str, target: Target) -> None:
    request = {"texts": ["Good."], "model": target.model} | asked(target.variant)
    answering = ask(f"{url}/v1/classify", request)["results"][0]["variant"]
    if answering not in target.stages:
        raise LoadTestError(
            f"{target.variant} was asked and {answering} answered: this is a server's bug"
        )
    if len(target.stages) > 1:
        models = ask(f"{url}/v1/models")["models"]
        if not any(each["model"] == target.model and each["cascade"] for each in models):
            raise LoadTestError(f"{target.model}'s cascade is refused: see the server's log")


def _measure(this: Run, target: Target, load: Load, number: int, url: str) -> None:
    """One phase. The first closed load of the first round sets the rates that are shares."""
    scenario = this.scenario
    phase = Phase(
        model=target.model,
        variant=target.variant,
        load=load.name,
        round=number,
        kind=load.kind,
        users=load.users or 1,
        arrivals=load.arrivals,
        rate_rps=load.rate_rps or (load.share or 0.0) * this.saturated_rps.get(target, 0.0),
        trace=str(load.trace) if load.trace else None,
        texts_per_request=load.texts_per_request,
        deadline_ms=scenario.deadline_ms,
        warmup_s=scenario.warmup_s,
        measured_s=load.measured_s or scenario.measured_s,
        seed=scenario.seed + number,
    )
    samples = run_phase(phase, url, this.folder, scenario)
    if load.kind == "closed" and target not in this.saturated_rps:
        achieved_rps = summarise(samples, scenario.slo_p99_ms).achieved_rps
        if achieved_rps <= 0.0:
            raise LoadTestError(
                f"{target.variant} answered nothing in {load.name}, so no rate follows from it: "
                f"read {this.folder / 'logs'}"
            )
        this.saturated_rps[target] = achieved_rps


def run_phase(phase: Phase, url: str, folder: Path, scenario: Scenario) -> Samples:
    """Runs one phase in Locust processes of its own (gevent patches all it can reach).

    Leaves samples/<phase>.*.parquet, a file a process, and Locust's log in the folder.
    Raises LoadTestError when Locust fails or does not end in time.
    """
    log = folder / "logs" / f"locust-{phase.name}.log"
    with child(_locust_arguments(phase, url, folder, scenario), log) as locust:
        try:
            status = locust.wait(phase.total_s + END_BOUND_S)
        except subprocess.TimeoutExpired as error:
            raise LoadTestError(
                f"Locust was still running {END_BOUND_S:g} s after its time: see {log}"
            ) from error
    files = sample_files(folder, phase.name)
    if status or len(files) != scenario.processes:
        raise LoadTestError(f"Locust ended with status {status}: {last_words(log)}; see {log}")
    return read_samples(files)


def sample_files(folder: Path, phase_name: str) -> list[Path]:
    """The files of raw times of one phase."""
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
    given = [word for option in options.items() for word in option]
    user = "ClosedUser" if phase.kind == "closed" else "OpenUser"
    return ["-m", "locust", "--headless", "--only-summary", *given, user]
