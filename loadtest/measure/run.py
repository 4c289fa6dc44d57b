"""The measurement: every choice under every load, in interleaved rounds, on servers of its own."""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtest.analysis.summary import summarise
from loadtest.measure.choice import Choice, available_choices, check_stages
from loadtest.measure.environment import environment
from loadtest.measure.locust_phase import run_phase, sample_files
from loadtest.measure.null_model import NULL_MODEL, publish_null_model
from loadtest.measure.server import LoadTestError, Server, request_json, running_server
from loadtest.progress import progress
from loadtest.samples import Phase
from loadtest.scenario import Load, Scenario

SCHEMA_VERSION = 2

_MOST_TRIES = 3  # of the phase that sets the rates
# The files in a family's folder that a server needs for the cascade.
_CASCADE_FILES = ("cascade.json", "policy.json", "windows.json")


@dataclass
class Measurement:
    """A running measurement; `folder` holds its raw times, `about` the contents of run.json."""

    folder: Path
    scenario: Scenario
    registry: Path | None
    url: str | None
    about: dict[str, Any]
    chosen: list[Choice] = field(default_factory=list)
    saturated_rps: dict[str, float] = field(default_factory=dict)
    """By a choice's name: the throughput of which the scenario's rates are shares."""
    has_warned: bool = False

    def save(self) -> None:
        """Write run.json, so that an interrupted run can be reported too."""
        about = self.about | {"saturated_rps": self.saturated_rps}
        (self.folder / "run.json").write_text(json.dumps(about, indent=2) + "\n")

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
    rates_of: Path | None = None,
) -> Path:
    """Measure each choice under each load in each round, and return the folder of raw times.

    The choices are the variants and the cascades. With a registry, each runs on servers of its
    own, and cascades are measured under brownout too; with a URL, that server gets the load.
    With `rates_of`, the folder of an earlier run, rates that are shares are that run's.
    The folder holds run.json (the command, the environment and the server's list of variants),
    samples/*.parquet and logs/.
    Raise LoadTestError with the remedy if nothing can be measured.
    """
    rates = saturated_rates(rates_of) if rates_of else {}
    measurement = prepare(
        scenario, new_folder(out), command, registry=registry, url=url, wanted=wanted
    )
    measurement.saturated_rps.update(rates)
    run_rounds([measurement])
    return measurement.folder


def new_folder(out: Path, suffix: str = "") -> Path:
    """Make the folder of a run that starts now."""
    folder = out / f"{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}{suffix}"
    folder.mkdir(parents=True)
    return folder


def saturated_rates(folder: Path) -> dict[str, float]:
    """Return the throughputs that an earlier run's shares are of. Raise LoadTestError if none."""
    try:
        rates: dict[str, float] = json.loads((folder / "run.json").read_text())["saturated_rps"]
    except (OSError, ValueError, KeyError) as error:
        raise LoadTestError(
            f"{folder} has no rates: name the folder of a run by this version"
        ) from error
    return rates


def prepare(
    scenario: Scenario,
    folder: Path,
    command: str,
    *,
    registry: Path | None = None,
    url: str | None = None,
    wanted: list[str] | None = None,
    alternation: str | None = None,
) -> Measurement:
    """List what there is to measure, and write run.json; `alternation` names an alternated run."""
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
        "started_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "machine": environment(),
        "url": url,
        "scenario": scenario.model_dump(mode="json"),
        "alternation": alternation,
        "models": listed,
        "servers": [],
    }
    measurement = Measurement(folder, scenario, registry, url, about)
    measurement.save()
    brownout_ms = scenario.brownout_ms if registry else None
    measurement.chosen += available_choices(listed, brownout_ms, wanted)
    phases = scenario.rounds * len(scenario.loads) * len(measurement.chosen)
    about["planned_phases"] = phases  # without those of the null model
    if registry is not None:
        _link_registries(measurement, measurement.chosen)
        floor = [Choice(*NULL_MODEL, stages=NULL_MODEL[1:])] if scenario.floor else []
        measurement.chosen += floor
    return measurement


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


def run_rounds(sides: Sequence[Measurement]) -> None:
    """Measure every choice of one measurement, or of two in alternation, in each round.

    Each round starts with another choice, so that a drift of the machine affects all alike; of two
    measurements each choice is measured on one side right after the other, and the side that comes
    first changes with the round (AB, BA, AB): the second of each pair would carry the drift.
    """
    first = sides[0]
    choices = {choice.name: choice for side in sides for choice in side.chosen}
    names = list(choices)
    visits = sum(len(side.chosen) for side in sides)
    total = first.scenario.rounds * visits * len(first.scenario.loads)
    with progress(total, "phases") as bar:
        for number in range(first.scenario.rounds):
            start = number % len(names)
            for name in names[start:] + names[:start]:
                for side in sides if number % 2 == 0 else reversed(sides):
                    for choice in side.chosen:
                        if choice.name == name:
                            _visit(side, choice, number, bar)


def _visit(measurement: Measurement, choice: Choice, number: int, bar: Any) -> None:
    """Measure one choice under every load, on a server that was just started."""
    with measurement.server(choice) as server:
        check_stages(server.url, choice)
        for load in measurement.scenario.loads:
            bar.set_postfix_str(f"{choice.variant}, {load.name}, round {number + 1}")
            refusals = _run_load(measurement, choice, load, number, server)
            if refusals and not measurement.has_warned:  # once: a long run may be in vain
                bar.write(
                    f"{choice.variant}, {load.name}, round {number + 1} is excluded: {refusals[0]}",
                    file=sys.stderr,
                )
                measurement.has_warned = True
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


def _run_load(
    measurement: Measurement, choice: Choice, load: Load, number: int, server: Server
) -> list[str]:
    """Run one phase, and say why its figures do not count, if they do not.

    The first closed phase of a choice sets the rates given as shares, so it is repeated if its
    figures do not count: rates of a disturbed machine would show a fraction of the capacity. If
    none of the tries counts, the highest throughput is used, and run.json names the choice.
    """
    scenario, saturated_rps = measurement.scenario, measurement.saturated_rps
    phase = Phase(
        model=choice.model,
        variant=choice.variant,
        load=load.name,
        round=number,
        kind=load.kind,
        users=load.users or 1,
        arrivals=load.arrivals,
        rate_rps=load.rate_rps or (load.share or 0.0) * saturated_rps.get(choice.name, 0.0),
        trace=str(load.trace) if load.trace else None,
        texts_per_request=load.texts_per_request,
        deadline_ms=scenario.deadline_ms,
        warmup_s=scenario.warmup_s,
        measured_s=load.measured_s or scenario.measured_s,
        seed=scenario.seed + number,
        pairs=choice.pairs,
    )
    sets_rates = load.kind == "closed" and choice.name not in saturated_rps
    highest_rps = 0.0
    for _ in range(_MOST_TRIES if sets_rates else 1):
        for path in sample_files(measurement.folder, phase.name):
            path.unlink()
        samples = run_phase(phase, server.url, measurement.folder, scenario, server.pid)
        figures = summarise(samples, scenario.slo_p99_ms)
        highest_rps = max(highest_rps, figures.achieved_rps)
        if not figures.refusals:
            break
    if sets_rates:
        if highest_rps <= 0.0:
            raise LoadTestError(
                f"{choice.variant} answered nothing under the load {load.name}, so rates given as "
                f"shares of it are unknown: see {measurement.folder / 'logs'}"
            )
        disturbed = bool(figures.refusals)
        saturated_rps[choice.name] = highest_rps if disturbed else figures.achieved_rps
        if disturbed:
            measurement.about.setdefault("disturbed_rates", []).append(choice.name)
    return figures.refusals
