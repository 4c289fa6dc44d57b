"""`python -m models`: make variants from recipes, report on a family, import other bundles.

The exit status is 0, or 2 with one sentence on stderr.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from models.data.downloads import fetch
from models.data.sources import fetched
from models.graphs.import_bundle import import_folder, import_graph
from models.pipeline import Pipeline
from models.recipe import RECIPES, STAGES, RecipeError, in_parent_order, lineage
from models.runners import RUNNERS
from serving.bundles.registry import publish
from serving.errors import BundleError

BUILD = Path("build")
SENTIMENT = RECIPES / "sentiment"
REPORTS = Path("reports")
BUILT_REGISTRY = BUILD / "registry"


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "import":
            where = (options.folder, options.family, options.variant, options.registry)
            bundle = (
                import_graph(*where, [label.strip() for label in options.labels.split(",")])
                if options.labels
                else import_folder(*where, pairs=options.pairs)
            )
            print(f"Imported as {bundle.folder}")
        elif options.command == "report":
            report = importlib.import_module("models.reports.family_report")
            report.run(options.family, options.registry, options.output / options.family)
        elif options.command == "cascade":
            _cascade(options)
        else:
            make(options.command, options.recipe, options.registry)
    except (RecipeError, BundleError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"Next: {_next_command(options)}")
    return 0


def make(command: str, recipe: Path, registry: Path) -> None:
    """Run one stage of a recipe, or all stages of it and its ancestors; or of a folder's recipes.

    Stages that are up to date are skipped, so a build that was killed continues where it stopped.
    Raises RecipeError or BundleError when a stage refuses.
    """
    if recipe.is_dir():
        paths = in_parent_order(recipe)
    elif command == "all":
        paths = [recipe.with_name(f"{each.variant}.toml") for each in lineage(recipe)]
    else:
        paths = [recipe]
    steps = [
        (ancestors, stage)
        for ancestors in (tuple(lineage(path)) for path in paths)
        for stage in ancestors[-1].stages
        if command in ("all", stage)
    ]
    wanted = {name for ancestors, stage in steps for name in fetched(ancestors[-1], stage)}
    pipeline = Pipeline(BUILD, fetch(BUILD / "cache", wanted), RUNNERS)
    for done, (ancestors, stage) in enumerate(steps):
        left = [
            pipeline.expected_seconds(ancestors[-1], stage) for ancestors, stage in steps[done:]
        ]
        pipeline.make(ancestors, stage, f" ({done + 1} of {len(steps)}, {_time_left(left)} left)")
        if stage == "package":
            bundle = publish(pipeline.folder(ancestors[-1], "package"), registry)
            print(f"Published {bundle.folder}, version {bundle.manifest.version}")


def _time_left(seconds: Sequence[float | None]) -> str:
    """The sum in words; a lower bound if some are not known."""
    known = sum(each for each in seconds if each is not None)
    bound = "more than" if None in seconds else "about"
    return f"{bound} {known / 60:.0f} min" if known >= 60 else f"{bound} {known:.0f} s"


def _cascade(options: argparse.Namespace) -> None:
    cascade = importlib.import_module("models.cascade.build")
    wanted = importlib.import_module("models.cascade.options")
    target = wanted.parse_target(
        loss=options.loss,
        each_label=options.each_label,
        max_loss=options.max_loss,
        confidence=options.confidence,
    )
    variants = [name.strip() for name in options.variants.split(",") if name.strip()]
    request = wanted.CascadeOptions(
        options.family,
        options.registry,
        BUILD,
        target,
        variants,
        options.recalibrate,
        options.engine,
    )
    if options.resplit:
        cascade.check_coverage(request, options.resplit)
    else:
        cascade.run(request, options.output / options.family)


def _next_command(options: argparse.Namespace) -> str:
    if options.command == "cascade" and options.resplit:
        return f"python -m models cascade {options.family} --registry {options.registry}"
    if options.command == "cascade":
        serve = f"SIZEWISE_REGISTRY={options.registry} python -m serving"
        return f'{serve}, then classify with "variant": "auto"'
    if options.command in ("all", "package", "import", "report"):
        return f"SIZEWISE_REGISTRY={options.registry} python -m serving"
    return f"python -m models all {options.recipe}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in ("all", *STAGES):
        what = "every stage" if name == "all" else f"the {name} stage"
        command = commands.add_parser(name, help=f"run {what}, unless up to date")
        command.add_argument(
            "recipe", nargs="?", type=Path, default=SENTIMENT, help="a recipe or a folder of them"
        )
        command.add_argument("--registry", type=Path, default=BUILT_REGISTRY)
    report = commands.add_parser("report", help="accuracy against size of a published family")
    report.add_argument("family")
    report.add_argument("--registry", type=Path, default=BUILT_REGISTRY)
    report.add_argument("--output", type=Path, default=REPORTS, help="holds a folder a family")
    _add_cascade(commands.add_parser("cascade", help="variants asked in turn, with a guarantee"))
    imports = commands.add_parser("import", help="make a bundle of an exported Hugging Face folder")
    imports.add_argument(
        "folder",
        type=Path,
        help="with model.onnx, tokenizer.json, config.json; or a graph",
    )
    imports.add_argument("--labels", help="of a graph of numbers: names with commas between")
    imports.add_argument("--pairs", action="store_true", help="it reads two texts at a time")
    imports.add_argument("--family", required=True)
    imports.add_argument("--variant", required=True)
    imports.add_argument("--registry", type=Path, required=True)
    return parser


def _add_cascade(cascade: argparse.ArgumentParser) -> None:
    cascade.add_argument("family")
    cascade.add_argument("--max-loss", type=float, default=0.005, help="a fraction; 0.005")
    cascade.add_argument("--confidence", type=float, default=0.95, help="a fraction; 0.95")
    cascade.add_argument(
        "--loss",
        choices=("agreement", "accuracy"),
        default="agreement",
        help="answers other than the largest variant's, or accuracy less than its; agreement",
    )
    cascade.add_argument("--each-label", action="store_true", help="for the texts of each label")
    cascade.add_argument("--variants", default="", help="that may be asked, with commas between")
    cascade.add_argument(
        "--recalibrate",
        type=Path,
        metavar="TEXTS",
        help="a table of `text` (and `label`, for accuracy) instead of the family's own",
    )
    cascade.add_argument(
        "--engine",
        choices=("auto", "onnxruntime", "openvino"),
        default="auto",
        help="what runs the variants; auto is what serving would choose on this machine",
    )
    cascade.add_argument("--resplit", type=int, default=0, help="test the guarantee so many times")
    cascade.add_argument("--registry", type=Path, default=BUILT_REGISTRY)
    cascade.add_argument("--output", type=Path, default=REPORTS, help="holds a folder a family")


if __name__ == "__main__":
    sys.exit(main())
