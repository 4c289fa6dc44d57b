"""The command `live`: its arguments.

What it runs is imported when it is called, so that `--help` needs no optional package.
"""

import argparse
from pathlib import Path

from models.arguments import add_logged, number_in
from models.next_command import quoted

DOES = "report what the text log says of a served family: accuracy, drift, texts worth labelling"
_EPILOG = """\
examples:
  python -m models live sentiment --log s3://bucket/text-log --keys text-log-keys
  python -m models live sentiment --log text-log --export 500 --format jsonl
  python -m models live sentiment --log text-log --labelled live.jsonl --unlabelled texts.jsonl
"""


def add_live(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `live` but for registry and output."""
    command.epilog, command.formatter_class = _EPILOG, argparse.RawDescriptionHelpFormatter
    add_logged(command, texts=5000)
    command.add_argument(
        "--export", type=number_in(1, 100_000), default=200, metavar="TEXTS",
        help="write so many that are worth labelling; default: %(default)s",
    )  # fmt: skip
    command.add_argument(
        "--format", choices=("csv", "jsonl"), default="csv", help="of these; default: %(default)s"
    )
    for name, of in (
        ("labelled", "the texts that have feedback, with its labels"),
        ("unlabelled", "all texts that were read, without labels"),
    ):
        command.add_argument(
            f"--{name}", type=_table, metavar="FILE", help=f"also write {of}, as .csv or .jsonl"
        )


def run(options: argparse.Namespace) -> str:
    """Write the report; return what to do next. Raises BundleError or StartError in a sentence."""
    from models.monitoring.measure import Wanted, live  # noqa: PLC0415

    wanted = Wanted(
        options.log, options.keys, options.texts, options.export, f".{options.format}",
        options.labelled, options.unlabelled,
    )  # fmt: skip
    output = options.output / options.family
    path = live(options.family, options.registry, output, wanted)
    if path is None:
        return "serve on: every logged text has feedback"
    return (
        f"fill in the column `label` of {path}, then python -m models evaluate {options.family} "
        f"--data {quoted(path)} --registry {quoted(options.registry)}"
    )


def _table(given: str) -> Path:
    path = Path(given)
    if path.suffix not in (".csv", ".jsonl"):
        raise argparse.ArgumentTypeError(f"{given!r} ends neither in .csv nor in .jsonl")
    return path
