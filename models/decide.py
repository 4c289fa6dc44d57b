"""The command `decide`: its arguments, and how it is run.

What it runs is imported when it is called, so that `--help` needs no optional package.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DOES = "choose thresholds that bound each label's false-positive rate, or its recall"
_EPILOG = """\
examples:
  python -m models decide toxicity --label toxic --max-false-positive-rate 0.01
  python -m models decide toxicity --label toxic --label insult --max-false-positive-rate 0.01 \\
      --label threat --min-recall 0.99

A limit is that of the labels before it that have none. Where the texts are too few to show a limit,
nothing is written, the exit status is 2, and the sentence says how many it takes.
"""


class _InOrder(argparse.Action):
    """Keeps options with their values in the order in which they are given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002  argparse names it
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        name = str(option_string).removeprefix("--").replace("-", "_")
        namespace.targets = [*(namespace.targets or []), (name, values)]


def add_decide(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `decide` but for registry and output."""
    command.epilog, command.formatter_class = _EPILOG, argparse.RawDescriptionHelpFormatter
    command.add_argument("family", help="a family of the registry")
    for option, metavar, does in (
        ("--label", "LABEL", "a label to decide on; may be repeated"),
        (
            "--max-false-positive-rate", "SHARE",
            "flag at most this share of the texts without the label",
        ),
        ("--min-recall", "SHARE", "flag at least this share of the texts with the label"),
    ):  # fmt: skip
        command.add_argument(option, action=_InOrder, dest="targets", metavar=metavar, help=does)
    command.add_argument(
        "--confidence",
        type=float,
        default=0.95,
        help="probability that all limits hold at once; default: %(default)s",
    )
    command.add_argument(
        "--recalibrate",
        type=Path,
        metavar="TEXTS",
        help="a table of `text` and `label` instead of the family's own texts: half of it chooses, "
        "half judges",
    )
    command.add_argument(
        "--engine",
        choices=("auto", "onnxruntime", "openvino"),
        default="auto",
        help="what runs the variants; auto is what the server would choose on this machine",
    )
    command.add_argument(
        "--long",
        choices=("truncate", "windows"),
        help="how texts beyond the model's length are read; default: windows if that is the "
        "family's default, or else truncate",
    )
    command.add_argument(
        "--resplit",
        type=int,
        default=0,
        metavar="TIMES",
        help="instead test the guarantee on this many random splits of the texts",
    )


def run(options: argparse.Namespace, build: Path) -> None:
    """Write decisions.json, or test its guarantee. Raises RecipeError or BundleError."""
    from models.decisions.build import check_coverage  # noqa: PLC0415
    from models.decisions.build import run as choose  # noqa: PLC0415
    from models.decisions.options import DecideOptions, parse_targets  # noqa: PLC0415

    request = DecideOptions(
        options.family,
        options.registry,
        build,
        parse_targets(options.targets or []),
        options.confidence,
        options.recalibrate,
        options.engine,
        options.long,
    )
    if options.resplit:
        check_coverage(request, options.resplit)
    else:
        choose(request, options.output / options.family)
