"""What each command of the load test does and prints, and its exit status."""

import argparse
import importlib.util
import json
import math
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from loadtest.analysis.compare import compare
from loadtest.analysis.replica_curve import Targets, measured, targets
from loadtest.measure.run import run
from loadtest.measure.server import LoadTestError
from loadtest.measure.subprocesses import exit_on_sigterm
from loadtest.measure.workload import texts_from
from loadtest.report.build import read_report, rebuild
from loadtest.report.markdown import table
from loadtest.samples import Phase
from loadtest.scenario import read_scenario
from loadtest.sizing.autoscaling import TRACES, Setting, play, read_trace, signals
from loadtest.sizing.autoscaling_plot import picture, scaling_in_words
from loadtest.sizing.recommend import Wish, in_words, recommend, write_values
from loadtest.sizing.verify import check

_TRACE = TRACES / "flash-crowd.csv"
_LOCUSTFILE = Path(__file__).parent / "measure" / "locustfile.py"
_NEEDED = "locust"


def _run(options: argparse.Namespace, command: str) -> int:
    _check_locust()
    exit_on_sigterm()
    scenario = read_scenario(options.scenario)
    if scenario.texts:
        texts_from(scenario.texts)
    folder = run(
        scenario,
        options.out,
        command,
        registry=None if options.url else options.registry,
        url=options.url.rstrip("/") if options.url else None,
        wanted=options.variant,
    )
    return _tell(folder, options.prog)


def _report(options: argparse.Namespace, _command: str) -> int:
    return _tell(options.folder, options.prog)


def _tell(folder: Path, prog: str) -> int:
    print("\n" + rebuild(folder))
    print(f"Next: open {folder / 'report.html'}, and ask what to deploy:")
    print(f"  {prog} recommend --slo-p99-ms 50 --min-accuracy 0.85 --rps 200")
    report = read_report(folder)
    without = [
        f"{variant['variant']}, {name}"
        for variant in report["variants"]
        for name, load in variant["loads"].items()
        if not any(not each["refusals"] for each in load["rounds"])
    ]
    if without:
        print(f"Refused in every round: {'; '.join(without)}", file=sys.stderr)
        return 3
    return 0


def _compare(options: argparse.Namespace, _command: str) -> int:
    changes = compare(read_report(options.before), read_report(options.after))
    head = ["variant", "load", "figure", "before", "after", "ratio", "p (Holm)", "verdict"]
    rows = [
        [
            change.variant, change.load, change.figure, f"{change.before:.1f}",
            f"{change.after:.1f}", f"{change.ratio:.3f}", f"{change.p_value:.3f}", change.verdict,
        ]
        for change in changes
    ]  # fmt: skip
    if not rows:
        raise LoadTestError("the two reports have no load of a variant in common")
    print(table(head, rows))
    worse = sum(change.verdict == "worse" for change in changes)
    better = sum(change.verdict == "better" for change in changes)
    print(f"{worse} worse, {better} better, {len(changes) - worse - better} unchanged beyond noise")
    return 1 if worse else 0


def _recommend(options: argparse.Namespace, command: str) -> int:
    folder = options.folder or _newest(options)
    report = read_report(folder)
    wish = Wish(
        options.slo_p99_ms,
        options.min_accuracy,
        options.rps,
        options.headroom,
        options.cost_per_hour,
    )
    found = recommend(report, wish)
    print(f"From {folder}, one replica being {report['machine']['cores']} cores of this machine.")
    print(in_words(found))
    if found.choice is None:
        return 1
    (folder / "recommendation.json").write_text(json.dumps(asdict(found), indent=2) + "\n")
    write_values(found, report["machine"]["cores"], command, options.values)
    print(f"Next: helm upgrade --install sizewise helm -f {options.values}")
    if options.check:
        _check_locust()
        exit_on_sigterm()
        print(f"Checking: one replica at {found.choice.rate_rps:.1f} requests/s ...", flush=True)
        checked = check(folder, report, found.choice)
        print(checked.in_words())
        return 0 if checked.holds else 1
    return 0


def _simulate_scaling(options: argparse.Namespace, _command: str) -> int:
    report = read_report(options.folder)
    variant = next((v for v in report["variants"] if v["variant"] == options.variant), None)
    if variant is None:
        there = ", ".join(each["variant"] for each in report["variants"])
        raise LoadTestError(f"{options.folder} has no variant {options.variant}; there is {there}")
    slo_ms = options.slo_p99_ms or report["scenario"]["slo_p99_ms"]
    curve, found = measured(variant), targets(variant, slo_ms, options.headroom)
    if curve is None or found is None:
        raise LoadTestError(
            f"{options.variant} has no curve within a p99 of {slo_ms:g} ms: measure a closed load "
            "and open ones, or allow more"
        )
    found = Targets(
        found.rate_rps,
        options.target_queue_seconds or found.queue_s,
        options.target_requests_in_flight or found.in_flight,
    )
    rates = read_trace(options.trace or _TRACE, options.peak_rps)
    smallest, largest = options.min_replicas, options.max_replicas
    ready_s = variant["ready_s"]["value"] if variant["ready_s"] else 0.0
    setting = Setting(
        curve=curve,
        slo_s=slo_ms / 1e3,
        smallest=smallest,
        largest=largest,
        first=min(largest, max(smallest, math.ceil(rates[0] / found.rate_rps))),
        start_s=options.schedule_s + ready_s,
    )
    compared = signals(found, curve, options.target_cpu)
    played = {name: play(rates, setting, signal) for name, signal in compared.items()}
    print(scaling_in_words(options.variant, setting, found, compared, played))
    path = options.folder / f"scaling.{options.variant}.png"
    title = f"{options.variant}: which signal to scale on"
    picture(title, dict(islice(played.items(), 2)), slo_ms, found.rate_rps, largest).savefig(
        path, dpi=120
    )
    print(f"Next: open {path}, and scale on {next(iter(compared))}:")
    print(f"  {options.prog} recommend writes the targets; add --set autoscaling.enabled=true")
    return 0


def _watch(options: argparse.Namespace, _command: str) -> int:
    """Locust's own pages for a person who wants to watch; replaces this process."""
    _check_locust()
    phase = Phase(
        model=options.model, variant=options.variant, load="watch", round=0, kind="closed", users=1,
        arrivals="poisson", rate_rps=0.0, trace=None, texts_per_request=1, deadline_ms=None,
        warmup_s=0.0, measured_s=86_400.0, seed=0,
    )  # fmt: skip
    os.execv(  # noqa: S606 - Locust takes over, with this one's terminal
        sys.executable,
        [
            sys.executable, "-m", "locust", "--locustfile", str(_LOCUSTFILE), "--host", options.url,
            "--phase", json.dumps(asdict(phase)), "ClosedUser",
        ],
    )  # fmt: skip


def _newest(options: argparse.Namespace) -> Path:
    reports: Path = options.reports
    made = sorted(path.parent for path in reports.glob("*/report.json"))
    if not made:
        raise LoadTestError(f"{reports} holds no report: {options.prog} run makes one")
    return made[-1]


def _check_locust() -> None:
    """Raise before anything is started or written; Locust is only imported by subprocesses."""
    if importlib.util.find_spec(_NEEDED) is None:
        raise ModuleNotFoundError(f"No module named {_NEEDED!r}", name=_NEEDED)


COMMANDS: dict[str, Callable[[argparse.Namespace, str], int]] = {
    "run": _run,
    "report": _report,
    "compare": _compare,
    "recommend": _recommend,
    "simulate-scaling": _simulate_scaling,
    "watch": _watch,
}
