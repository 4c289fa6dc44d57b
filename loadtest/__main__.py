"""`python -m loadtest COMMAND`: reads the command line.

It does not know how anything is measured or computed.
"""

import argparse
import json
import math
import os
import shlex
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
from loadtest.scenario import SCENARIOS, read_scenario
from loadtest.sizing.autoscaling import TRACES, Setting, play, read_trace, signals
from loadtest.sizing.autoscaling_plot import picture, scaling_in_words
from loadtest.sizing.recommend import Wish, deploy_command, in_words, recommend, write_values
from loadtest.sizing.verify import check

REPORTS = Path("reports")
REGISTRY = Path("models/registry")


def main(arguments: list[str]) -> int:
    """Runs one command.

    Returns 0; 1 when a comparison found a regression, a recommendation nothing or a check a miss;
    2 when the command can't be done, with the reason on stderr; 3 when a run's figures are refused.
    """
    options = _parser().parse_args(arguments)
    command = shlex.join(["python", "-m", "loadtest", *arguments])
    commands: dict[str, Callable[[argparse.Namespace, str], int]] = {
        "run": _run,
        "report": _report,
        "compare": _compare,
        "recommend": _recommend,
        "simulate-scaling": _simulate_scaling,
        "watch": _watch,
    }
    try:
        return commands[options.command](options, command)
    except (LoadTestError, ValueError, OSError) as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace, command: str) -> int:
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
    return _tell(folder)


def _report(options: argparse.Namespace, _command: str) -> int:
    return _tell(options.folder)


def _tell(folder: Path) -> int:
    print("\n" + rebuild(folder))
    print(f"Next: open {folder / 'report.html'}, and ask what to deploy:")
    print("  python -m loadtest recommend --slo-p99-ms 50 --min-accuracy 0.85 --rps 200")
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
    folder = options.folder or _newest(REPORTS)
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
    print(f"Next: {deploy_command(options.values)}")
    if options.check:
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
    rates = read_trace(options.trace, options.peak_rps)
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
    print("  python -m loadtest recommend writes the targets; add --set autoscaling.enabled=true")
    return 0


def _watch(options: argparse.Namespace, _command: str) -> int:
    """Locust's own pages for a person who wants to watch; replaces this process."""
    phase = Phase(
        model=options.model, variant=options.variant, load="watch", round=0, kind="closed", users=1,
        arrivals="poisson", rate_rps=0.0, trace=None, texts_per_request=1, deadline_ms=None,
        warmup_s=0.0, measured_s=86_400.0, seed=0,
    )  # fmt: skip
    locustfile = Path(__file__).parent / "measure" / "locustfile.py"
    os.execv(  # noqa: S606 - Locust takes over, with this one's terminal
        sys.executable,
        [
            sys.executable, "-m", "locust", "--locustfile", str(locustfile), "--host", options.url,
            "--phase", json.dumps(asdict(phase)), "ClosedUser",
        ],
    )  # fmt: skip


def _newest(folder: Path) -> Path:
    made = sorted(path.parent for path in folder.glob("*/report.json"))
    if not made:
        raise LoadTestError(f"{folder} holds no report: python -m loadtest run makes one")
    return made[-1]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    measure = commands.add_parser("run", help="measure every variant and report")
    measure.add_argument(
        "scenario", nargs="?", type=Path, default=SCENARIOS / "default.toml",
        help=f"a TOML file; {SCENARIOS.name}/ has some",
    )  # fmt: skip
    source = measure.add_mutually_exclusive_group()
    source.add_argument("--registry", type=Path, default=REGISTRY, help="folder of families")
    source.add_argument("--url", type=_url, help="a running server instead of own ones")
    measure.add_argument("--out", type=Path, default=REPORTS, help="where reports go")
    measure.add_argument("--variant", nargs="+", help="only these variants")
    again = commands.add_parser("report", help="rebuild a report from its raw times")
    again.add_argument("folder", type=Path, help="a folder that `run` made")
    versus = commands.add_parser("compare", help="what changed beyond noise; 1 on a regression")
    versus.add_argument("before", type=Path)
    versus.add_argument("after", type=Path)
    wish = commands.add_parser("recommend", help="which variant on how many replicas")
    wish.add_argument("folder", nargs="?", type=Path, help="of a run; default: the newest")
    wish.add_argument("--slo-p99-ms", type=_positive, required=True)
    wish.add_argument("--min-accuracy", type=_share, required=True)
    wish.add_argument("--rps", type=_positive, required=True, help="requests a second, in all")
    wish.add_argument("--headroom", type=_share, default=0.2, help="share of capacity left free")
    wish.add_argument("--cost-per-hour", type=_positive, help="of one replica")
    wish.add_argument("--values", type=Path, default=Path("values.recommended.yaml"))
    wish.add_argument("--check", action="store_true", help="run it and compare")
    _scaling_parser(commands.add_parser("simulate-scaling", help="queue against CPU scaling"))
    watch = commands.add_parser("watch", help="Locust's own pages on a running server")
    watch.add_argument("url", type=_url)
    watch.add_argument("--model", required=True)
    watch.add_argument("--variant", required=True)
    return parser


def _scaling_parser(scaling: argparse.ArgumentParser) -> None:
    scaling.add_argument("folder", type=Path, help="a folder that `run` made")
    scaling.add_argument("--variant", required=True)
    scaling.add_argument(
        "--trace", type=Path, default=TRACES / "flash-crowd.csv", help="seconds,requests_per_s"
    )
    scaling.add_argument("--peak-rps", type=_positive, help="scale the trace to this peak")
    scaling.add_argument("--slo-p99-ms", type=_positive, help="default: the report's")
    scaling.add_argument("--headroom", type=_share, default=0.2)
    scaling.add_argument("--min-replicas", type=int, default=2)
    scaling.add_argument("--max-replicas", type=int, default=30)
    scaling.add_argument(
        "--schedule-s", type=_positive, default=10.0, help="of a pod, before its server's start"
    )
    scaling.add_argument("--target-queue-seconds", type=_positive, help="default: recommended")
    scaling.add_argument("--target-requests-in-flight", type=_positive, help="default: same")
    scaling.add_argument("--target-cpu", type=_positive, default=0.7, help="of the request")


def _url(word: str) -> str:
    if not word.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{word} is no http:// or https:// address")
    return word


def _positive(word: str) -> float:
    number = float(word)
    if not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{word} is not above zero")
    return number


def _share(word: str) -> float:
    number = float(word)
    if not 0.0 <= number < 1.0:
        raise argparse.ArgumentTypeError(f"{word} is not from 0 to below 1")
    return number


if __name__ == "__main__":
    exit_on_sigterm()
    sys.exit(main(sys.argv[1:]))
