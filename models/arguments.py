"""Arguments that several commands have."""

import argparse
from collections.abc import Callable
from pathlib import Path


def add_compared(command: argparse.ArgumentParser) -> None:
    """Add the arguments of a command that compares a family's variants on labelled texts."""
    command.add_argument("family", help="FAMILY or FAMILY/VARIANT of the registry")
    command.add_argument(
        "--data", type=Path, nargs="+", default=[], metavar="FILE",
        help="tables of labelled texts (CSV, TSV, ...); default: the test split in build/",
    )  # fmt: skip
    for name in ("text", "label"):
        command.add_argument(
            f"--{name}",
            default=name,
            metavar="COLUMN",
            help=f"column of the {name}; default: {name}",
        )
    command.add_argument(
        "--separator", default=",", help="between a cell's labels, if it has several; default: ,"
    )
    command.add_argument(
        "--reference", default="", metavar="VARIANT",
        help="the variant to compare with; default: the most accurate",
    )  # fmt: skip


def number_in(least: int, most: int) -> Callable[[str], int]:
    """Return the type of an argument that is a whole number in a range."""

    def number(given: str) -> int:
        if not given.isdecimal() or not least <= int(given) <= most:
            raise argparse.ArgumentTypeError(f"{given!r} is no number from {least} to {most}")
        return int(given)

    return number
