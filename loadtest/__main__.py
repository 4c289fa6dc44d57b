"""`python -m loadtest run | report`: reads the command line, measures, reports.

It does not know how; run.py and report.py do.
"""

import argparse
import shlex
import sys
from pathlib import Path

from loadtest.children import exit_on_sigterm
from loadtest.payloads import texts_from
from loadtest.report import rebuild
from loadtest.run import OPEN_SHARE, Options, run
from loadtest.server import LoadTestError


def main(arguments: list[str]) -> int:
    """Runs one command. Returns 0, or 2 when it can't be done, with the reason on stderr."""
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    try:
        if command == "run":
            if options["texts"]:
                texts_from(options["texts"])
            folder = run(Options(**options), shlex.join(["python", "-m", "loadtest", *arguments]))
        else:
            folder = options["folder"]
        print("\n" + rebuild(folder))
    except (LoadTestError, ValueError, OSError) as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return 2
    print(f"Next: look at {folder / 'frontier.png'} and keep {folder / 'report.json'}.")
    print(f"Rebuild the tables from the raw times: python -m loadtest report {folder}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    measure = commands.add_parser("run", help="start the server, load each variant, report")
    measure.add_argument("--registry", type=Path, help="folder of families; default: the server's")
    measure.add_argument("--out", type=Path, default=Path("reports"), help="where reports go")
    for flag, name, default_s, meaning in (
        ("--seconds", "measured_s", 20.0, "measured time of a phase"),
        ("--warmup", "warmup_s", 3.0, "time left out before it"),
    ):
        measure.add_argument(
            flag, dest=name, metavar="S", type=_positive, default=default_s, help=meaning
        )
    measure.add_argument("--users", type=_count, default=32, help="users of the closed phase")
    measure.add_argument(
        "--rate",
        dest="rate_rps",
        metavar="R",
        type=_positive,
        help=f"open requests/s; default: {OPEN_SHARE} of the variant's closed throughput",
    )
    measure.add_argument("--variant", nargs="+", help="only these variants")
    measure.add_argument("--texts", type=Path, help="your own texts, one a line")
    measure.add_argument("--seed", type=int, default=0, help="of the texts and the arrival times")
    again = commands.add_parser("report", help="rebuild a report from its raw times")
    again.add_argument("folder", type=Path, help="a folder that `run` made")
    return parser


def _count(word: str) -> int:
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{word} is below one")
    return number


def _positive(word: str) -> float:
    number = float(word)
    if not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{word} is not above zero")
    return number


if __name__ == "__main__":
    exit_on_sigterm()
    sys.exit(main(sys.argv[1:]))
