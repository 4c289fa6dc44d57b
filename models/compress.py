"""The command `compress`: its arguments, and the pipeline and registry that it works with.

What it runs is imported when it is called, so that `--help` needs no optional package.
"""

import argparse
import importlib.util
import re
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from models.data.downloads import fetch
from models.data.sources import FETCHED, HUB, Source
from models.next_command import serving
from models.pipeline import Pipeline, alone_in
from models.recipe import RecipeError, Stage, lineage, read_recipe
from models.recipe_sections import Missing
from models.runners import RUNNERS
from serving.bundles.files import NAME

_LONGEST_NAME = 63
_TEXT = "text"
DOES = "make a family of a classifier, or of a base model, with one command"
_EPILOG = """\
examples:
  python -m models compress my-classifier --data texts.csv       unlabelled texts: agreement
  python -m models compress fetched:base --data texts.csv --label topic --max-bytes 5MB
  python -m models compress my-classifier --data texts.csv --more live.jsonl
  python -m models compress exported/ --data texts.csv           an ONNX graph: number formats

What it does is in recipes, which you may edit: run the command again, or `python -m models all
FOLDER`. What is up to date is skipped.
"""


def add_compress(command: argparse.ArgumentParser, registry: Path) -> None:
    """Add the arguments of `compress`."""
    command.epilog, command.formatter_class = _EPILOG, argparse.RawDescriptionHelpFormatter
    command.add_argument(
        "source",
        help="folder of a fine-tuned classifier, of a base model, or of an exported ONNX graph; or "
        "hub:OWNER/NAME or fetched:NAME",
    )
    command.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="FILE",
        help="tables of texts (CSV, TSV, JSON Lines, Parquet), with labels or without",
    )  # fmt: skip
    command.add_argument(
        "--more", type=Path, nargs="+", default=[], metavar="FILE",
        help="tables of more texts, without labels: students learn the teacher's answers to them",
    )  # fmt: skip
    for name, of in (
        ("text", "the text; by default text, or the only one besides label and group"),
        ("label", "the label; by default label, if a file has it"),
        ("group", "what keeps rows in one split, such as a customer"),
    ):
        command.add_argument(f"--{name}", metavar="COLUMN", help=f"column of {of}")
    command.add_argument(
        "--separator",
        help="between the labels of a cell; '' if a cell is one label, whatever characters it has; "
        "default: , for a model of several labels",
    )
    command.add_argument(
        "--missing", choices=get_args(Missing), default="refuse",
        help="what becomes of rows whose label is empty or NaN; default: %(default)s",
    )  # fmt: skip
    command.add_argument("--family", help="name of the family; by default of the first file")
    command.add_argument(
        "--max-bytes", metavar="SIZE", help="largest bundle wanted, such as 5MB; default: any"
    )
    command.add_argument(
        "--max-drop", default="0.02", metavar="SHARE",
        help="largest loss of accuracy or of agreement, such as 0.02 or 2%%; default: %(default)s",
    )  # fmt: skip
    command.add_argument(
        "--latency-ms", type=float, metavar="MS", help="longest median of a lone text; default: any"
    )
    command.add_argument(
        "--minutes", type=float, default=60.0,
        help="time for all, by estimates; earlier runs are included; default: %(default)g",
    )  # fmt: skip
    command.add_argument(
        "--formats-only", action="store_true", help="number formats alone, without any training"
    )
    command.add_argument("--recipes", type=Path, metavar="FOLDER", help="default: recipes/FAMILY")
    command.add_argument(
        "--registry", type=Path, default=registry, help="folder of families; default: %(default)s"
    )


def run(options: argparse.Namespace, *, build: Path, reports: Path) -> str:
    """Make a family; return the command that serves what is advised.

    Raises RecipeError or BundleError in a sentence.
    """
    from models.compression.user_texts import read_user_texts, text_column  # noqa: PLC0415
    from models.compression.wanted import Wanted, parse_bytes, parse_share  # noqa: PLC0415

    family = _name_of(options.data[0]) if options.family is None else options.family
    if not NAME.fullmatch(family):
        raise RecipeError(f"--family {family}: write a name of small letters, digits, . and -")
    if (build / family).resolve() in ((build / "cache").resolve(), options.registry.resolve()):
        raise RecipeError(f"--family {family}: {build / family} has another use: name another")
    wanted = Wanted(
        source=options.source,
        data=tuple(options.data),
        more=tuple(options.more),
        family=family,
        recipes=options.recipes or Path("recipes") / family,
        registry=options.registry,
        text=options.text or _TEXT,
        label=options.label,
        group=options.group,
        separator=options.separator,
        missing=options.missing,
        max_bytes=None if options.max_bytes is None else parse_bytes(options.max_bytes),
        max_drop=parse_share(options.max_drop),
        latency_ms=options.latency_ms,
        minutes=options.minutes,
        formats_only=options.formats_only,
    )
    if options.text is None:
        wanted = replace(wanted, text=text_column(wanted))
    found = read_user_texts(wanted)
    source = _source(wanted.source, build)
    from models.compression.command import make  # noqa: PLC0415 (needs what is optional)

    workshop = _Workshop(Pipeline(build, build / "cache" / "sources", RUNNERS), wanted.registry)
    with alone_in(build / family):
        advised = make(wanted, source, found, workshop, reports / family)
    return serving(wanted.registry, advised)


@dataclass(frozen=True)
class _Workshop:
    """The pipeline and the registry, for models/compression/runner.py."""

    pipeline: Pipeline
    registry: Path

    @property
    def build(self) -> Path:
        return self.pipeline.build

    def run(self, recipe: Path, stage: Stage, progress: str) -> None:
        from models.published.publishing import publish_made  # noqa: PLC0415

        ancestors = tuple(lineage(recipe))
        self.pipeline.make(ancestors, stage, progress)
        if stage == "package":
            bundle = publish_made(self.pipeline.folder(ancestors[-1], "package"), self.registry)
            print(f"Published {bundle.folder}, version {bundle.manifest.version}")

    def taken_s(self, recipe: Path) -> float:
        return self.pipeline.taken_s(read_recipe(recipe))

    def is_begun(self, recipe: Path) -> bool:
        ancestors = tuple(lineage(recipe))
        return self.pipeline.is_current(ancestors, ancestors[-1].weights_stage or "quantize")


def _name_of(path: Path) -> str:
    letters = unicodedata.normalize("NFKD", path.stem)
    plain = "".join(each for each in letters if not unicodedata.combining(each))
    return re.sub(r"[^a-z0-9]+", "-", plain.lower())[:_LONGEST_NAME].strip("-") or "family"


def _source(source: str, build: Path) -> Source:
    if source.startswith(HUB):
        return Source(None, source.removeprefix(HUB))
    if source.startswith(FETCHED):
        name = source.removeprefix(FETCHED)
        return Source(fetch(build / "cache", {name}) / name)
    path = Path(source)
    gives = "give a folder, an ONNX file, hub:OWNER/NAME or fetched:NAME"
    if not source or not path.exists():
        raise RecipeError(f"{source or 'SOURCE'} does not exist: {gives}")
    if path.is_file() and path.suffix != ".onnx":
        raise RecipeError(f"{source} is no model: {gives}")
    if importlib.util.find_spec("onnx") is None:
        raise ModuleNotFoundError("No module named 'onnx'", name="onnx")
    return Source(path)
