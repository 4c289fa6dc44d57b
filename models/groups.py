"""The command `groups`: its arguments.

What it runs is imported when it is called, so that `--help` needs no optional package.
"""

import argparse
from pathlib import Path

from models.arguments import add_compared

DOES = "measure a family's variants by group of texts, and the largest gaps between groups"
_EPILOG = """\
examples:
  python -m models groups sentiment                by the columns of `group_report` in the recipe
  python -m models groups F/V --data texts.csv --groups region age

What was answered is kept in build/cache/groups: a run that was killed goes on when it is started
again.
"""


def add_groups(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `groups` but for registry and output."""
    command.epilog, command.formatter_class = _EPILOG, argparse.RawDescriptionHelpFormatter
    add_compared(command)
    command.add_argument(
        "--groups", nargs="+", default=[], metavar="COLUMN",
        help="columns of groups, needed with --data; default: those of `group_report`",
    )  # fmt: skip


def run(options: argparse.Namespace, *, build: Path) -> str:
    """Measure a family by group; return the command that serves it.

    Raises RecipeError or BundleError in a sentence.
    """
    from models.group_report.measure import report_groups  # noqa: PLC0415
    from models.published.texts import Columns  # noqa: PLC0415
    from models.recipe import RecipeError  # noqa: PLC0415

    if options.data and not options.groups:
        raise RecipeError("--data needs --groups: name the columns that say a text's group")
    report_groups(
        options.family, options.data,
        Columns(
            (options.text,), options.label, options.separator, tuple(dict.fromkeys(options.groups))
        ),
        options.registry, build=build,
        output=options.output / options.family.partition("/")[0],
        reference=options.reference,
    )  # fmt: skip
    return f"SIZEWISE_REGISTRY={options.registry} python -m serving"
