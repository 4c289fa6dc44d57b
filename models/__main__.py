"""`python -m models`: make variants from recipes, publish bundles, import other people's.

It does not know how a stage works; it exits with 0, or with 2 and one sentence.
"""

import argparse
import sys
from pathlib import Path

from models.fetch import fetch
from models.importing import import_folder
from models.locations import fetched
from models.recipe import RECIPES, STAGES, RecipeError, in_parent_order, lineage
from models.workshop import Workshop
from serving.errors import BundleError
from serving.registry import publish

BUILD = Path("build")
SENTIMENT = RECIPES / "sentiment"
BUILT_REGISTRY = BUILD / "registry"


def main(arguments: list[str] | None = None) -> int:
    """The exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "import":
            bundle = import_folder(
                options.folder, options.family, options.variant, options.registry
            )
            print(f"Imported as {bundle.folder}")
        else:
            make(options.command, options.recipe, options.registry)
    except (RecipeError, BundleError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"Next: {_next_command(options)}")
    return 0


def make(command: str, recipe: Path, registry: Path) -> None:
    """Run one stage, or all of them, of one recipe or of every recipe in parent order.

    What is up to date is skipped. Raises RecipeError or BundleError when a stage refuses.
    """
    paths = [recipe] if recipe.is_file() else in_parent_order(recipe)
    wanted = {name for path in paths for name in fetched(lineage(path)[0])}
    workshop = Workshop(BUILD, fetch(BUILD / "cache", wanted))
    for path in paths:
        ancestors = tuple(lineage(path))
        for stage in ancestors[-1].stages:
            if command in ("all", stage):
                workshop.make(ancestors, stage)
        if command in ("all", "publish"):
            bundle = publish(workshop.folder(ancestors[-1], "publish"), registry)
            print(f"Published {bundle.folder}, version {bundle.manifest.version}")


def _next_command(options: argparse.Namespace) -> str:
    if options.command in ("all", "publish", "import"):
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
    imports = commands.add_parser("import", help="make a bundle of an exported Hugging Face folder")
    imports.add_argument("folder", type=Path, help="holds model.onnx, tokenizer.json, config.json")
    imports.add_argument("--family", required=True)
    imports.add_argument("--variant", required=True)
    imports.add_argument("--registry", type=Path, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
