"""The command `refresh`: its arguments, and the pipeline that it works with.

What it runs is imported when it is called, so that `--help` needs no optional package.
"""

import argparse
import importlib.util
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from models.arguments import add_logged
from models.data.downloads import fetch
from models.data.sources import fetched
from models.pipeline import Pipeline
from models.recipe import Recipe, RecipeError
from models.runners import RUNNERS
from models.steps import make_steps
from serving.bundles.files import NAME

if TYPE_CHECKING:
    from models.retraining.record import Terms

DOES = "make a family again with what its text log has to teach, and try it on some traffic"
_EPILOG = """\
examples:
  python -m models refresh reviews --log s3://bucket/text-log --keys text-log-keys --recipes reviews
  python -m models refresh reviews --log text-log --recipes reviews --labelled worth-labelling.csv

Collects labelled texts, makes the live variants again, publishes each beside the live version as a
canary, and promotes or withdraws all of them by a sequential test on feedback. It goes as far as it
can. Started again it goes on where it was: let a schedule do that.
"""


def add_refresh(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `refresh` but for registry and output."""
    command.epilog, command.formatter_class = _EPILOG, argparse.RawDescriptionHelpFormatter
    add_logged(command, texts=100_000)
    command.add_argument(
        "--labelled", type=Path, nargs="+", default=[], metavar="FILE",
        help="tables of `text` and `label` to learn from too, as worth-labelling.csv, filled in",
    )  # fmt: skip
    command.add_argument(
        "--recipes", type=Path, required=True, metavar="FOLDER", help="the family's recipes"
    )
    for name, default, does in (
        ("weight", 0.1, "share of the requests that each new version answers while it is tried"),
        ("margin", 0.02, "how much less often the new versions may be right, as a fraction"),
        ("confidence", 0.95, "confidence of the test, however often one looks"),
        ("days", 14.0, "withdraw what is not decided after so many days"),
    ):
        command.add_argument(
            f"--{name}", type=float, default=default, help=f"{does}; default: %(default)g"
        )


def run(options: argparse.Namespace, *, build: Path) -> str:
    """Take the family's turn as far as it goes; return what to do next.

    Raises RecipeError, BundleError or StartError in a sentence.
    """
    if not NAME.fullmatch(options.family):
        raise RecipeError(f"{options.family}: write the name of a family of {options.registry}")
    if importlib.util.find_spec("torch") is None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    from models.retraining.turn import take_turn  # noqa: PLC0415
    from models.retraining.wanted import Wanted  # noqa: PLC0415

    wanted = Wanted(
        family=options.family,
        registry=options.registry,
        recipes=options.recipes,
        log=options.log,
        keys=options.keys,
        texts=options.texts,
        labelled=options.labelled,
        terms=_terms(options),
        build=build,
        output=options.output / options.family,
    )
    return take_turn(wanted, _Workshop(build / "cache"))


def _terms(options: argparse.Namespace) -> "Terms":
    from models.retraining.record import Terms  # noqa: PLC0415

    names = ("weight", "margin", "confidence", "days")
    try:
        return Terms(**{name: getattr(options, name) for name in names})
    except ValidationError as error:
        first = error.errors()[0]
        raise RecipeError(f"--{first['loc'][0]} {first['input']:g}: {first['msg']}") from error


@dataclass(frozen=True)
class _Workshop:
    """The pipeline, for models/retraining/making.py; `downloads` is what other builds fetched."""

    downloads: Path

    def make(
        self,
        recipes: Sequence[tuple[Recipe, ...]],
        live: Collection[str],
        build: Path,
        registry: Path,
    ) -> None:
        from models.published.publishing import publish_made  # noqa: PLC0415

        steps = [
            (ancestors, stage)
            for ancestors in recipes
            for stage in ancestors[-1].stages
            if stage != "package" or ancestors[-1].variant in live
        ]
        names = {name for ancestors, stage in steps for name in fetched(ancestors[-1], stage)}
        pipeline = Pipeline(build, fetch(self.downloads, names), RUNNERS)
        make_steps(pipeline, steps, lambda made: publish_made(made, registry), goes_on=True)
