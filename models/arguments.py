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


def add_logged(command: argparse.ArgumentParser, texts: int) -> None:
    """Add the arguments of a command that reads a family's text log, by default so many texts."""
    command.add_argument("family", help="a family of the registry")
    command.add_argument(
        "--log", required=True, metavar="URL", help="folder or URL: the server's SIZEWISE_TEXT_LOG"
    )
    command.add_argument(
        "--keys", type=Path, metavar="FILE", help="the server's SIZEWISE_TEXT_LOG_KEYS"
    )
    command.add_argument(
        "--texts", type=number_in(1, 1_000_000), default=texts,
        help="read so many of the newest texts; default: %(default)s",
    )  # fmt: skip


def number_in(least: int, most: int) -> Callable[[str], int]:
    """Return the type of an argument that is a whole number in a range."""

    def number(given: str) -> int:
        if not given.isdecimal() or not least <= int(given) <= most:
            raise argparse.ArgumentTypeError(f"{given!r} is no number from {least} to {most}")
        return int(given)

    return number
