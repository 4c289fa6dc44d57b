"""The command `windows`: its arguments. What it runs is imported when it is called."""

import argparse
from pathlib import Path

DOES = "find out how long texts are best joined from windows, on labelled ones"


def add_windows(command: argparse.ArgumentParser) -> None:
    """Add the arguments but for registry and output."""
    command.add_argument("family", help="a family of the registry")
    command.add_argument(
        "--data", type=Path, nargs="+", metavar="FILE", required=True,
        help="tables of whole texts with labels (CSV, TSV, ...)",
    )  # fmt: skip
    command.add_argument(
        "--text", action="append", metavar="COLUMN",
        help="column of the text, twice for a model of pairs; default: text",
    )  # fmt: skip
    command.add_argument("--label", default="label", metavar="COLUMN", help="default: %(default)s")
    command.add_argument(
        "--separator", default=",", help="between a cell's labels, if it has several; default: ,"
    )
    command.add_argument(
        "--long", choices=("refuse", "truncate", "windows"),
        help="what becomes of long texts in requests that do not say it; default: as before",
    )  # fmt: skip


def calibrate(options: argparse.Namespace) -> None:
    """Measure the rules and write windows.json. Raises RecipeError or BundleError."""
    from models.published.texts import Columns  # noqa: PLC0415
    from models.published.windows import calibrate as run  # noqa: PLC0415

    columns = Columns(tuple(options.text or ["text"]), options.label, options.separator)
    run(
        options.family, options.data, columns, options.registry,
        output=options.output / options.family, long=options.long,
    )  # fmt: skip
