"""The command `stress`: its arguments.

What it runs is imported when it is called, so that `--help` needs no optional package.
"""

import argparse
from pathlib import Path
from typing import get_args

from models.arguments import add_compared, number_in
from models.next_command import serving
from models.perturbations.names import Perturbation

DOES = "measure what altered texts do to a family's variants, and which lose more than the best"
_EPILOG = """\
examples:
  python -m models stress sentiment                on the test split of the family's build
  python -m models stress F/V --data texts.csv --kinds typos case

What was answered is kept in build/cache/stress: a run that was killed goes on when it is started
again.
"""


def add_stress(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `stress` but for registry and output."""
    kinds = get_args(Perturbation)
    command.epilog, command.formatter_class = _EPILOG, argparse.RawDescriptionHelpFormatter
    add_compared(command)
    command.add_argument(
        "--kinds", nargs="+", choices=kinds, default=kinds, metavar="KIND",
        help=f"what to do to the texts: {', '.join(kinds)}; default: all",
    )  # fmt: skip
    command.add_argument(
        "--texts", type=number_in(2, 100_000), default=1000,
        help="alter so many, drawn at random, 2 to 100000; default: %(default)s",
    )  # fmt: skip
    command.add_argument(
        "--searched", type=number_in(1, 100_000), default=100, metavar="TEXTS",
        help="search for the worst case of so many of them; default: %(default)s",
    )  # fmt: skip
    command.add_argument(
        "--queries", type=number_in(0, 10_000), default=100,
        help="texts to classify in the search for each, 0 for no search; default: %(default)s",
    )  # fmt: skip
    command.add_argument(
        "--seed", type=number_in(0, 2**31 - 1), default=0,
        help="of what is drawn and altered; default: %(default)s",
    )  # fmt: skip


def run(options: argparse.Namespace, *, build: Path) -> str:
    """Measure a family on altered texts; return the command that serves it.

    Raises RecipeError or BundleError in a sentence.
    """
    from models.published.texts import Columns  # noqa: PLC0415
    from models.robustness.measure import Wanted, stress  # noqa: PLC0415

    stress(
        options.family, options.data, Columns((options.text,), options.label, options.separator),
        options.registry, build=build,
        output=options.output / options.family.partition("/")[0],
        wanted=Wanted(
            tuple(dict.fromkeys(options.kinds)), options.texts, options.searched, options.queries,
            options.seed, options.reference,
        ),
    )  # fmt: skip
    return serving(options.registry)
