"""The commands: what each one does and prints, and its exit status."""

import argparse
import importlib.util
import json
import math
import os
import shlex
import sys
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from loadtest.analysis.compare import compare, is_alternated
from loadtest.analysis.deployment import deployment
from loadtest.analysis.recommendation import SizedChoice, SizingRequirements, recommend
from loadtest.analysis.replica_curve import ScalingTargets, replica_curve, scaling_targets
from loadtest.analysis.validity import THRESHOLDS, Thresholds
from loadtest.measure.alternate import alternate
from loadtest.measure.run import run
from loadtest.measure.server import LoadTestError, request_json
from loadtest.measure.subprocesses import PYTHON, exit_on_sigterm, same_imports
from loadtest.measure.workload import texts_from
from loadtest.report.build import read_report, rebuild
from loadtest.report.comparison import comparison_text
from loadtest.report.recommendation_text import recommendation_text
from loadtest.samples import Phase
from loadtest.scenario import read_scenario
from loadtest.sizing.autoscaling import (
    TRACES,
    SimulationConfig,
    read_trace,
    scaling_signals,
    simulate,
)
from loadtest.sizing.autoscaling_plot import autoscaling_plot, autoscaling_table
from loadtest.sizing.autoscaling_verdict import verdict_text
from loadtest.sizing.helm_values import upgrade_command, write_values
from loadtest.sizing.verify import PLAN, VerificationPlan, verify

_TRACE = TRACES / "flash-crowd.csv"
_LOCUSTFILE = Path(__file__).parent / "measure" / "locustfile.py"
_LOCUST = "locust"


@dataclass(frozen=True)
class Criteria:
    """When figures are refused, and how a recommendation is verified."""

    thresholds: Thresholds = THRESHOLDS
    plan: VerificationPlan = PLAN


def run_command(options: argparse.Namespace, command: str, criteria: Criteria | None = None) -> int:
    """Run the command that was parsed and return its exit status; `command` is its whole line."""
    criteria = criteria or Criteria()
    run_by_name = {
        "run": lambda: _run(options, command, criteria),
        "report": lambda: _report(options.folder, options.prog, criteria, options.before),
        "compare": lambda: _compare(options.before, options.after),
        "alternate": lambda: _alternate(options, command, criteria),
        "recommend": lambda: _recommend(options, command, criteria),
        "simulate-scaling": lambda: _simulate_scaling(options),
        "watch": lambda: _watch(options),
    }
    return run_by_name[options.command]()


def _run(options: argparse.Namespace, command: str, criteria: Criteria) -> int:
    _check_locust()
    exit_on_sigterm()
    scenario = read_scenario(options.scenario)
    if scenario.texts:
        texts_from(scenario.texts)
    before = _compared(options.rates_of)
    folder = run(
        scenario,
        options.out,
        command,
        registry=None if options.url else options.registry,
        url=options.url.rstrip("/") if options.url else None,
        wanted=options.variant,
        rates_of=options.rates_of,
    )
    return _report(folder, options.prog, criteria, before)


def _compared(rates_of: Path | None) -> Path | None:
    """Return the folder of the report to compare with, which is refused before measuring."""
    if rates_of is None or not (rates_of / "report.json").is_file():
        return None
    read_report(rates_of)
    return rates_of


def _report(folder: Path, prog: str, criteria: Criteria, before: Path | None) -> int:
    print("\n" + rebuild(folder, criteria.thresholds, before))
    report = read_report(folder)
    step = _next_step(report, f"{prog} recommend {shlex.quote(str(folder))}")
    print(f"Next: open {folder / 'report.html'}{step}")
    invalid = [
        f"{variant['variant']}, {name}"
        for variant in report["variants"]
        for name, load in variant["loads"].items()
        if not any(not each["refusals"] for each in load["rounds"])
    ]
    if invalid:
        print(f"Every round was refused: {'; '.join(invalid)}", file=sys.stderr)
        return 3
    return 0


def _next_step(report: dict[str, Any], recommend_from: str) -> str:
    """Say how to find out what to deploy, or how to measure what the report says of it."""
    found = deployment(report)
    if found is None:
        asked = "--slo-p99-ms 50 --min-accuracy 0.85 --rps 200"
        return f", and find out what to deploy:\n  {recommend_from} {asked}"
    if found.chosen is None or not found.is_certain:
        return "."
    asked = " ".join(
        f"--{name.replace('_', '-')} {value}"
        for name, value in asdict(found.requirements).items()
        if value is not None
    )
    return f", and measure what it recommends:\n  {recommend_from} {asked} --check"


def _compare(folder_before: Path, folder_after: Path) -> int:
    before, after = read_report(folder_before), read_report(folder_after)
    changes = compare(before, after)
    print(comparison_text(changes, is_alternated(before, after)))
    verdicts = {change.verdict for change in changes}
    if verdicts & {"worse", "missing"}:
        return 1
    return 3 if "unknown" in verdicts else 0


def _alternate(options: argparse.Namespace, command: str, criteria: Criteria) -> int:
    _check_locust()
    exit_on_sigterm()
    scenario = read_scenario(options.scenario)
    sources = (options.before, options.after)
    folders = alternate(scenario, options.out, command, sources, options.variant)
    rebuild(folders[0], criteria.thresholds)
    rebuild(folders[1], criteria.thresholds, folders[0])
    return _compare(*folders)


def _recommend(options: argparse.Namespace, command: str, criteria: Criteria) -> int:
    folder = options.folder or _newest(options)
    report = read_report(folder)
    requirements = SizingRequirements(
        options.slo_p99_ms,
        options.min_accuracy,
        options.rps,
        options.headroom,
        options.cost_per_hour,
    )
    found = recommend(report, requirements)
    print(f"From {folder}. One replica has {report['machine']['cores']} cores of this machine.")
    print(recommendation_text(found))
    if found.is_impossible:
        return 1
    if found.chosen is None or not found.is_certain:
        return 4
    if options.check and not _holds(folder, report, found.chosen, criteria):
        print(f"The prediction does not hold, so {options.values} was not written. Measure again.")
        return 1
    (folder / "recommendation.json").write_text(json.dumps(found.as_json(), indent=2) + "\n")
    write_values(found, report["machine"]["cores"], command, options.values)
    print("Next, apply the values; the other values of the release stay as they are:")
    print(f"  {upgrade_command(options.values)}")
    return 0


def _holds(folder: Path, report: dict[str, Any], chosen: SizedChoice, criteria: Criteria) -> bool:
    _check_locust()
    exit_on_sigterm()
    print(f"Measuring one replica at {chosen.rate_rps:.1f} requests/s ...", flush=True)
    verified = verify(folder, report, chosen, criteria.plan, criteria.thresholds)
    print(verified.as_text())
    return verified.holds


def _simulate_scaling(options: argparse.Namespace) -> int:
    report = read_report(options.folder)
    variant = next((v for v in report["variants"] if v["variant"] == options.variant), None)
    if variant is None:
        known = ", ".join(each["variant"] for each in report["variants"])
        raise LoadTestError(f"{options.folder} has no variant {options.variant}, only {known}")
    slo_ms = options.slo_p99_ms or report["scenario"]["slo_p99_ms"]
    curve, found = replica_curve(variant), scaling_targets(variant, slo_ms, options.headroom)
    excluded = any(not load["latency_ms"] for load in variant["loads"].values())
    if excluded and (curve is None or found is None):
        raise LoadTestError(
            f"{options.variant} has loads without a valid round: {options.folder / 'report.md'} "
            "lists what excluded them; measure again"
        )
    if curve is None or found is None:
        raise LoadTestError(
            f"{options.variant} has no open load whose p99 is at most {slo_ms:g} ms at the upper "
            "bound of its interval: measure a closed load, slower open ones or more rounds, or "
            "raise --slo-p99-ms"
        )
    found = ScalingTargets(
        found.rate_rps,
        options.target_queue_seconds or found.queue_s,
        options.target_requests_in_flight or found.in_flight,
    )
    rates = read_trace(options.trace or _TRACE, options.peak_rps)
    smallest, largest = options.min_replicas, options.max_replicas
    ready_s = variant["ready_s"]["value"] if variant["ready_s"] else 0.0
    config = SimulationConfig(
        curve=curve,
        slo_s=slo_ms / 1e3,
        smallest=smallest,
        largest=largest,
        first=min(largest, max(smallest, math.ceil(rates[0] / found.rate_rps))),
        start_s=options.schedule_s + ready_s,
    )
    compared = scaling_signals(found, curve, options.target_cpu)
    played = {name: simulate(rates, config, signal) for name, signal in compared.items()}
    print(autoscaling_table(options.variant, config, found, compared, played))
    path = options.folder / f"scaling.{options.variant}.png"
    title = f"{options.variant}: which signal to scale on"
    autoscaling_plot(
        title, dict(islice(played.items(), 2)), slo_ms, found.rate_rps, largest
    ).savefig(path, dpi=120)
    print(verdict_text(played, largest))
    print(f"Next: open {path}.")
    return 0


def _watch(options: argparse.Namespace) -> int:
    """Replace this process by Locust with its web interface."""
    _check_locust()
    models = request_json(f"{options.url}/v1/models")["models"]
    phase = Phase(
        model=options.model, variant=options.variant, load="watch", round=0, kind="closed", users=1,
        arrivals="poisson", rate_rps=0.0, trace=None, texts_per_request=1, deadline_ms=None,
        warmup_s=0.0, measured_s=86_400.0, seed=0, pairs=_reads_pairs(models, options.model),
    )  # fmt: skip
    os.execve(  # noqa: S606 - Locust takes over the terminal
        sys.executable,
        [
            *PYTHON, "-m", "locust", "--locustfile", str(_LOCUSTFILE), "--host", options.url,
            "--phase", json.dumps(asdict(phase)), "ClosedUser",
        ],
        same_imports(),
    )  # fmt: skip


def _reads_pairs(models: list[dict[str, Any]], model: str) -> bool:
    return any(
        variant["pairs"]
        for each in models
        if each["model"] == model
        for variant in each["variants"]
    )


def _newest(options: argparse.Namespace) -> Path:
    reports: Path = options.reports
    folders = sorted(path.parent for path in reports.glob("*/report.json"))
    if not folders:
        raise LoadTestError(f"{reports} has no report: {options.prog} run makes one")
    return folders[-1]


def _check_locust() -> None:
    """Raise early if Locust is missing, because only subprocesses import it."""
    if importlib.util.find_spec(_LOCUST) is None:
        raise ModuleNotFoundError(f"No module named {_LOCUST!r}", name=_LOCUST)
