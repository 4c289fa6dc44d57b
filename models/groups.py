"""The command `groups`: its arguments.

What it runs is imported when it is called, so that `--help` needs no optional package.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from models.arguments import add_compared
from models.next_command import serving

DOES = "measure a family's variants by group of texts, or on texts whose words are swapped"
_EPILOG = """\
examples:
  python -m models groups sentiment                by the columns of `group_report` in the recipe
  python -m models groups F/V --data texts.csv --groups region age
  python -m models groups sentiment --pairs        on pairs of texts, with words swapped

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
    command.add_argument(
        "--pairs", action="store_true",
        help="swap pronouns, first names and places instead, which takes no columns or labels",
    )  # fmt: skip


def run(options: argparse.Namespace, *, build: Path) -> str:
    """Measure a family by group; return the command that serves it.

    Raises RecipeError or BundleError in a sentence.
    """
    from models.group_report.measure import report_groups  # noqa: PLC0415
    from models.group_report.measure_pairs import report_pairs  # noqa: PLC0415
    from models.published.texts import Columns  # noqa: PLC0415
    from models.recipe import RecipeError  # noqa: PLC0415

    if options.pairs and options.groups:
        raise RecipeError("--pairs takes no --groups: run the command once with each")
    if options.data and not (options.groups or options.pairs):
        raise RecipeError("--data needs --groups, the columns that say a text's group, or --pairs")
    columns = Columns(
        (options.text,), options.label, options.separator, tuple(dict.fromkeys(options.groups))
    )
    report = report_pairs if options.pairs else report_groups
    report(
        options.family, options.data, replace(columns, label=None) if options.pairs else columns,
        options.registry, build=build,
        output=options.output / options.family.partition("/")[0],
        reference=options.reference,
    )  # fmt: skip
    return serving(options.registry)
