"""`python -m loadtest`: measure a server, report on it, and recommend what to deploy.

The parsers are light, so that `--help` needs no optional package; commands.py has the commands.
"""

import argparse
import importlib
import shlex
import sys
from pathlib import Path

from loadtest.measure.server import LoadTestError
from loadtest.scenario import SCENARIOS

REPORTS = Path("reports")
REGISTRY = Path(__file__).parents[1] / "models" / "registry"
_PROGRAM = "loadtest"
_EPILOG = """\
examples:
  {prog} run                                  measure the sentiment family of this package
  {prog} run own.toml --registry build/registry
  {prog} recommend --slo-p99-ms 50 --min-accuracy 0.85 --rps 200
  {prog} compare reports/BEFORE reports/AFTER

Reports are written into the working folder: reports/.

exit status:
  0 on success
  1 when `compare` found a regression, or `recommend` nothing to deploy or a failed --check
  2 with one sentence on stderr when a command cannot be run
  3 when every round of a load was refused, so that it has no figures
"""


def main(arguments: list[str] | None = None, prog: str = "python -m loadtest") -> int:
    """Run one command and return its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    options = parser(prog).parse_args(given)
    try:
        commands = importlib.import_module("loadtest.commands").COMMANDS
        return int(commands[options.command](options, f"{prog} {shlex.join(given)}"))
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
    _add_compare(add("compare", "say what changed between two reports, beyond noise"))
    _add_recommend(add("recommend", "say which variant to deploy, on how many replicas"))
    _add_scaling(add("simulate-scaling", "compare scaling on the queue with scaling on CPU"))
    _add_watch(add("watch", "load a running server and watch it on Locust's own pages"))
    return whole


def _add_run(measure: argparse.ArgumentParser) -> None:
    measure.add_argument(
        "scenario",
        nargs="?",
        type=Path,
        default=SCENARIOS / "default.toml",
        help="a TOML file; default: default.toml of this package",
    )
    source = measure.add_mutually_exclusive_group()
    source.add_argument(
        "--registry",
        type=Path,
        default=REGISTRY,
        help="folder of families; default: the sentiment family of this package",
    )
    source.add_argument("--url", type=_url, help="a running server, instead of starting some")
    measure.add_argument(
        "--out", type=Path, default=REPORTS, help="where reports go; default: %(default)s"
    )
    measure.add_argument("--variant", nargs="+", help="measure only these variants")


def _add_report(report: argparse.ArgumentParser) -> None:
    report.add_argument("folder", type=Path, help="a folder that `run` made")


def _add_compare(compare: argparse.ArgumentParser) -> None:
    compare.add_argument("before", type=Path, help="a folder that `run` made")
    compare.add_argument("after", type=Path, help="another one, with the same loads")


def _add_recommend(wish: argparse.ArgumentParser) -> None:
    wish.add_argument(
        "folder", nargs="?", type=Path, help="a folder that `run` made; default: the newest"
    )
    wish.add_argument(
        "--slo-p99-ms", type=_positive, required=True, help="99th percentile to stay below, in ms"
    )
    wish.add_argument(
        "--min-accuracy", type=_share, required=True, help="least accuracy, as a fraction"
    )
    wish.add_argument("--rps", type=_positive, required=True, help="requests a second, in all")
    wish.add_argument(
        "--headroom",
        type=_share,
        default=0.2,
        help="fraction of the capacity to leave free; default: %(default)s",
    )
    wish.add_argument("--cost-per-hour", type=_positive, help="price of one replica")
    wish.add_argument(
        "--values",
        type=Path,
        default=Path("values.recommended.yaml"),
        help="where the chart's values go; default: %(default)s",
    )
    wish.add_argument(
        "--check", action="store_true", help="run one replica as recommended and compare"
    )


def _add_scaling(scaling: argparse.ArgumentParser) -> None:
    scaling.add_argument("folder", type=Path, help="a folder that `run` made")
    scaling.add_argument("--variant", required=True, help="a variant of the report")
    scaling.add_argument(
        "--trace",
        type=Path,
        help="a CSV file of seconds,requests_per_s; default: the flash crowd of this package",
    )
    scaling.add_argument("--peak-rps", type=_positive, help="scale the trace to this peak")
    scaling.add_argument("--slo-p99-ms", type=_positive, help="default: the report's")
    scaling.add_argument(
        "--headroom",
        type=_share,
        default=0.2,
        help="fraction of the capacity to leave free; default: %(default)s",
    )
    scaling.add_argument(
        "--min-replicas", type=int, default=2, help="fewest replicas; default: %(default)s"
    )
    scaling.add_argument(
        "--max-replicas", type=int, default=30, help="most replicas; default: %(default)s"
    )
    scaling.add_argument(
        "--schedule-s",
        type=_positive,
        default=10.0,
        help="seconds until a pod's server begins to start; default: %(default)s",
    )
    scaling.add_argument(
        "--target-queue-seconds", type=_positive, help="default: what `recommend` would write"
    )
    scaling.add_argument(
        "--target-requests-in-flight", type=_positive, help="default: what `recommend` would write"
    )
    scaling.add_argument(
        "--target-cpu",
        type=_positive,
        default=0.7,
        help="fraction of the requested CPU; default: %(default)s",
    )


def _add_watch(watch: argparse.ArgumentParser) -> None:
    watch.add_argument("url", type=_url, help="the running server")
    watch.add_argument("--model", required=True, help="the family to ask")
    watch.add_argument("--variant", required=True, help="the variant to ask")


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
    sys.exit(main())
