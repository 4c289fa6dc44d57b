"""`python -m loadtest`: measure a server, report on it, and recommend what to deploy.

The parsers need no optional package, so `--help` always works; commands.py has the commands.
"""

import argparse
import importlib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.measure.server import LoadTestError
from loadtest.scenario import SCENARIOS

if TYPE_CHECKING:
    from loadtest.commands import Criteria

REPORTS = Path("reports")
REGISTRY = Path(__file__).parents[1] / "models" / "registry"
_PROGRAM = "loadtest"
_EPILOG = """\
examples:
  {prog} run                                  measure the family in this package
  {prog} run own.toml --registry build/registry
  {prog} recommend --slo-p99-ms 50 --min-accuracy 0.85 --rps 200
  {prog} compare reports/BEFORE reports/AFTER
  {prog} alternate registry-before registry-after

Reports are written into the working folder: reports/.

exit status:
  0 success
  1 `compare` or `alternate` found a regression or misses a variant, no variant meets the
    requirements of `recommend`, or its --check missed the prediction
  2 the command failed; stderr says why, in one sentence
  3 every round of a load was refused as invalid, so it has no figures, or `compare` could not
    compare a figure
  4 the figures are too uncertain for `recommend`; nothing was written
"""


def main(
    arguments: list[str] | None = None,
    prog: str = "python -m loadtest",
    criteria: "Criteria | None" = None,
) -> int:
    """Run one command and return its exit status; `criteria` replaces the default ones."""
    given = sys.argv[1:] if arguments is None else arguments
    options = parser(prog).parse_args(given)
    try:
        commands = importlib.import_module("loadtest.commands")
        return int(commands.run_command(options, f"{prog} {shlex.join(given)}", criteria))
    except (LoadTestError, ValueError, OSError) as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if not error.name or error.name.split(".")[0] == _PROGRAM:
            raise
        print(
            f"loadtest: {error.name} is not installed: pip install 'sizewise[loadtest]'",
            file=sys.stderr,
        )
        return 2


def parser(prog: str = "python -m loadtest") -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    whole = argparse.ArgumentParser(
        prog,
        description="Measure what each size of a model costs, and find which one to deploy.",
        epilog=_EPILOG.format(prog=prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.set_defaults(prog=prog, reports=REPORTS)
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, does: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.")

    _add_run(add("run", "measure every variant under load and write a report"))
    _add_report(add("report", "rebuild a report from the raw times of a run"))
    _add_compare(add("compare", "compare two reports: what changed beyond noise"))
    _add_alternate(
        add("alternate", "measure two registries or servers in alternation, and compare them")
    )
    _add_recommend(
        add(
            "recommend",
            "recommend which variant to deploy on how many replicas, and write Helm values",
        )
    )
    _add_scaling(
        add(
            "simulate-scaling",
            "simulate autoscaling: queue metrics against CPU, over a trace of traffic",
        )
    )
    _add_watch(add("watch", "load a running server and watch it in Locust's web interface"))
    return whole


def _add_run(measure: argparse.ArgumentParser) -> None:
    measure.add_argument(
        "scenario",
        nargs="?",
        type=Path,
        default=SCENARIOS / "default.toml",
        help="a TOML file; default: default.toml in this package",
    )
    source = measure.add_mutually_exclusive_group()
    source.add_argument(
        "--registry",
        type=Path,
        default=REGISTRY,
        help="folder of families to serve; default: the one in this package",
    )
    source.add_argument(
        "--url", type=_url, help="measure this running server instead of starting servers"
    )
    measure.add_argument(
        "--out", type=Path, default=REPORTS, help="folder for reports; default: %(default)s"
    )
    measure.add_argument("--variant", nargs="+", help="measure only these variants")
    measure.add_argument(
        "--rates-of",
        type=Path,
        metavar="FOLDER",
        help="offer the rates of this earlier run, so that `compare` can compare latencies",
    )


def _add_report(report: argparse.ArgumentParser) -> None:
    report.add_argument("folder", type=Path, help="a folder that `run` made")
    report.add_argument(
        "--before",
        type=Path,
        metavar="FOLDER",
        help="say what changed since this earlier report, of the same loads on the same machine",
    )


def _add_compare(compare: argparse.ArgumentParser) -> None:
    compare.add_argument("before", type=Path, help="a folder that `run` made")
    compare.add_argument(
        "after", type=Path, help="a folder that `run` made later, with the same loads"
    )


def _add_alternate(alternate: argparse.ArgumentParser) -> None:
    for name in ("before", "after"):
        alternate.add_argument(name, help="a folder of families, or the URL of a running server")
    alternate.add_argument(
        "--scenario",
        type=Path,
        default=SCENARIOS / "default.toml",
        help="a TOML file; default: default.toml in this package",
    )
    alternate.add_argument(
        "--out", type=Path, default=REPORTS, help="folder for reports; default: %(default)s"
    )
    alternate.add_argument("--variant", nargs="+", help="measure only these variants")


def _add_recommend(recommend: argparse.ArgumentParser) -> None:
    recommend.add_argument(
        "folder", nargs="?", type=Path, help="a folder that `run` made; default: the newest"
    )
    recommend.add_argument(
        "--slo-p99-ms", type=_positive, required=True, help="highest p99 latency, in ms"
    )
    recommend.add_argument(
        "--min-accuracy", type=_share, required=True, help="lowest accuracy, from 0 to 1"
    )
    recommend.add_argument(
        "--rps", type=_positive, required=True, help="requests per second, over all replicas"
    )
    recommend.add_argument(
        "--headroom",
        type=_share,
        default=0.2,
        help="share of each replica's capacity to leave free; default: %(default)s",
    )
    recommend.add_argument(
        "--cost-per-hour", type=_positive, help="cost of one replica per hour, in any currency"
    )
    recommend.add_argument(
        "--values",
        type=Path,
        default=Path("values.recommended.yaml"),
        help="file for the Helm values; default: %(default)s",
    )
    recommend.add_argument(
        "--check",
        action="store_true",
        help="first measure one replica at the recommended rate; write nothing if it misses",
    )


def _add_scaling(scaling: argparse.ArgumentParser) -> None:
    scaling.add_argument("folder", type=Path, help="a folder that `run` made")
    scaling.add_argument("--variant", required=True, help="a variant of the report")
    scaling.add_argument(
        "--trace",
        type=Path,
        help="CSV file of seconds,requests_per_s; default: the flash crowd in this package",
    )
    scaling.add_argument(
        "--peak-rps", type=_positive, help="scale the trace to this peak, in requests per second"
    )
    scaling.add_argument(
        "--slo-p99-ms", type=_positive, help="highest p99 latency, in ms; default: the report's"
    )
    scaling.add_argument(
        "--headroom",
        type=_share,
        default=0.2,
        help="share of each replica's capacity to leave free; default: %(default)s",
    )
    scaling.add_argument(
        "--min-replicas",
        type=int,
        default=2,
        help="lower bound of the autoscaler; default: %(default)s",
    )
    scaling.add_argument(
        "--max-replicas",
        type=int,
        default=30,
        help="upper bound of the autoscaler; default: %(default)s",
    )
    scaling.add_argument(
        "--schedule-s",
        type=_positive,
        default=10.0,
        help="seconds to schedule a pod, before its server starts; default: %(default)s",
    )
    scaling.add_argument(
        "--target-queue-seconds", type=_positive, help="default: as `recommend` computes it"
    )
    scaling.add_argument(
        "--target-requests-in-flight", type=_positive, help="default: as `recommend` computes it"
    )
    scaling.add_argument(
        "--target-cpu",
        type=_positive,
        default=0.7,
        help="share of the requested CPU; default: %(default)s",
    )


def _add_watch(watch: argparse.ArgumentParser) -> None:
    watch.add_argument("url", type=_url, help="address of the running server")
    watch.add_argument("--model", required=True, help="the family to load")
    watch.add_argument("--variant", required=True, help="the variant to load, or auto")


def _url(word: str) -> str:
    if not word.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{word} is not an http:// or https:// address")
    return word


def _positive(word: str) -> float:
    number = _number(word)
    if not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{word} must be a number above 0")
    return number


def _share(word: str) -> float:
    number = _number(word)
    if not 0.0 <= number < 1.0:
        raise argparse.ArgumentTypeError(f"{word} must be a number from 0 to below 1")
    return number


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")


if __name__ == "__main__":
    sys.exit(main())
