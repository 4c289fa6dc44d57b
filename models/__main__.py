"""`python -m models`: make variants from recipes, report on a family, import other bundles.

The exit status is 0, 2 with one sentence on stderr, or 130 after Ctrl-C. What a command runs is
imported when it is called, so that `--help` needs no optional package.
"""

import argparse
import errno
import importlib
import importlib.util
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from models import (
    commands,
    compress,
    decide,
    groups,
    live,
    publish,
    refresh,
    signing,
    stress,
    windows,
)
from models.data.downloads import fetch
from models.data.sources import fetched
from models.next_command import quoted, serving
from models.pipeline import Pipeline
from models.recipe import RECIPES, STAGES, RecipeError, in_parent_order, lineage
from models.runners import RUNNERS
from models.steps import make_steps
from serving.errors import StartError

BUILD = Path("build")
SENTIMENT = RECIPES / "sentiment"
REPORTS = Path("reports")
BUILT_REGISTRY = BUILD / "registry"
_STAGES = {
    "all": "run every stage that is not up to date, and publish the bundles",
    "data": "read the tables of texts and divide them into splits",
    "inspect": "look at the data, and train the baselines that a model must beat",
    "train": "fine-tune a base model: the teacher",
    "adopt": "use a fine-tuned model as the teacher",
    "distill": "train a smaller student to answer like its teacher",
    "prune": "remove heads, feed-forward units and layers, and train the rest",
    "sparsify": "set the smallest weights to zero, and train the rest",
    "static": "train a classifier without attention, to answer like its teacher",
    "export": "export the weights to an ONNX graph with the same logits",
    "quantize": "quantize the graph's weights, within the recipe's loss of accuracy",
    "evaluate": "score the bundle on held-out texts, with the engine of the server",
    "package": "finish the bundle and publish it",
}
_SAYING_NEXT: dict[str, Callable[[argparse.Namespace], str]] = {
    **dict.fromkeys(signing.COMMANDS, signing.run),
    "compress": partial(compress.run, build=BUILD, reports=REPORTS),
    "groups": partial(groups.run, build=BUILD),
    "stress": partial(stress.run, build=BUILD),
    "live": live.run,
    "publish": publish.run,
    "refresh": partial(refresh.run, build=BUILD),
}
_ON_HELD_OUT_TEXTS: dict[str, Callable[[argparse.Namespace, Path], None]] = {
    "cascade": commands.make_cascade,
    "decide": decide.run,
}
_PROGRAMS = ("models", "serving")
_NEEDED = "torch"
_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST),
        "make it readable and writable, or name another folder",
    ),
}
_EPILOG = """\
examples:
  {prog} all                              build the sentiment family into build/registry
  {prog} all recipes/own.toml             build one variant and those it is made from
  {prog} report sentiment                 accuracy against size, into reports/sentiment
  {prog} cascade sentiment                calibrate a cascade with a guarantee
  {prog} decide F --label L --max-false-positive-rate 0.01   when a text is flagged
  {prog} stress sentiment                 typos, capitals, emoji, ...: what each size loses
  {prog} groups sentiment                 accuracy, recall, ... by group, and the largest gaps
  {prog} import FOLDER --family F --variant V --registry build/registry
  {prog} publish FOLDER --as F/V@next     copy a bundle, here as a version that is not served
  {prog} evaluate F --data texts.csv      the accuracy of each variant, on labelled texts
  {prog} quantize F/V --scheme int8-dynamic int4 --data texts.csv

Everything is written into the working folder: build/ and reports/. A stage that is up to date is
skipped, so a stopped build continues where it was.

exit status:
  0 on success, 2 with one sentence on stderr when a command cannot be run, 130 after Ctrl-C
"""


def main(arguments: list[str] | None = None, prog: str = "python -m models") -> int:
    """Run one command and return its exit status."""
    options = parser(prog).parse_args(arguments)
    # By default OpenMP's waiting threads spin: on busy cores in place of what they wait for.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # transformers warns in thirty lines that the head of a base model is new; it is meant to be.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not sys.stderr.isatty():
        # Libraries draw bars of their own, which only a terminal can show.
        os.environ |= {"TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    # First, since a library of ONNX Runtime's would have all that is below a warning printed.
    logging.basicConfig(format="%(message)s")
    try:
        print(f"Next: {_run(options, prog)}")
    except KeyboardInterrupt:
        print("Stopped: the same command goes on from what is done", file=sys.stderr)
        return 128 + signal.SIGINT
    except (RecipeError, StartError) as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        print(f"{error}: {_REMEDIES[error.errno]}, then start this again", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if not error.name or error.name.split(".")[0] in _PROGRAMS:
            raise
        print(f"{error.name} is not installed: pip install 'sizewise[models]'", file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace, prog: str) -> str:
    """Run the command; return what to do next."""
    if options.command in _SAYING_NEXT:
        return _SAYING_NEXT[options.command](options)
    if options.command in commands.ON_BUNDLES:
        commands.ON_BUNDLES[options.command](options)
    elif commands.is_published(options):
        commands.change_published(options)
    elif options.command == "report":
        report = importlib.import_module("models.reports.family_report")
        report.run(options.family, options.registry, options.output / options.family)
    elif options.command in _ON_HELD_OUT_TEXTS:
        _ON_HELD_OUT_TEXTS[options.command](options, BUILD)
    else:
        make(options.command, options.recipe, options.registry, keep_trained=options.keep_trained)
    return _next_command(options, prog)


def make(command: str, recipe: Path, registry: Path, *, keep_trained: bool = False) -> None:
    """Run one stage of a recipe, or all stages of it and its ancestors; or of a folder's recipes.

    Stages that are up to date are skipped, so a build that was killed continues where it stopped;
    `keep_trained` is Pipeline's. Raises RecipeError or BundleError when a stage refuses; with `all`
    after the variants that can be made without it.
    """
    if importlib.util.find_spec(_NEEDED) is None:
        # Before anything is downloaded for a stage that cannot run.
        raise ModuleNotFoundError(f"No module named {_NEEDED!r}", name=_NEEDED)
    from models.published.publishing import publish_made  # noqa: PLC0415

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
    pipeline = Pipeline(BUILD, fetch(BUILD / "cache", wanted), RUNNERS, keep_trained=keep_trained)
    make_steps(pipeline, steps, lambda made: publish_made(made, registry), goes_on=command == "all")


def _next_command(options: argparse.Namespace, prog: str) -> str:
    if options.command in _ON_HELD_OUT_TEXTS and options.resplit:
        registry = quoted(options.registry)
        return f"{prog} {options.command} {options.family} --registry {registry}"
    serve = serving(options.registry)
    if prog.startswith("sizewise"):
        serve = f"sizewise serve --registry {quoted(options.registry)}"
    if options.command == "cascade":
        return f'{serve}, then classify with "variant": "auto"'
    if options.command == "decide":
        return f"{serve}, then classify: each result has `flagged` and `decisions`"
    served = ("all", "package", "report", *commands.ON_BUNDLES)
    if options.command in served or commands.is_published(options):
        return serve
    return f"{prog} all {quoted(options.recipe)}"


def parser(prog: str = "python -m models") -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    whole = argparse.ArgumentParser(
        prog,
        description="Make variants of a classifier from recipes, and compare them.",
        epilog=_EPILOG.format(prog=prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, does: str) -> argparse.ArgumentParser:
        return added.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.")

    for name in ("all", *STAGES):
        stage = add(name, _STAGES[name])
        _add_stage(stage)
        if name in ("evaluate", "quantize"):
            commands.add_measuring(stage, schemes=name == "quantize")
    compress.add_compress(add("compress", compress.DOES), BUILT_REGISTRY)
    _add_report(add("report", "report the accuracy of a family's variants against their size"))
    cascade = add("cascade", "calibrate a cascade of a family's variants, with a guarantee")
    commands.add_cascade(cascade)
    explain = add("explain", "measure how faithful explanations are, and how much they agree")
    commands.add_explain(explain)
    long_texts = add("windows", windows.DOES)
    windows.add_windows(long_texts)
    decides = add("decide", decide.DOES)
    decide.add_decide(decides)
    stressed = add("stress", stress.DOES)
    stress.add_stress(stressed)
    lives = add("live", live.DOES)
    live.add_live(lives)
    refreshes = add("refresh", refresh.DOES)
    refresh.add_refresh(refreshes)
    by_group = add("groups", groups.DOES)
    groups.add_groups(by_group)
    for command in (
        cascade, decides, explain, lives, refreshes, long_texts, stressed, by_group,
    ):  # fmt: skip
        _add_registry(command)
        _add_output(command)
    imports = "make a bundle of an exported Hugging Face folder or ONNX graph"
    commands.add_import(add("import", imports))
    publishes = add("publish", publish.DOES)
    publish.add_publish(publishes)
    _add_registry(publishes)
    for name, does in signing.COMMANDS.items():
        getattr(signing, f"add_{name}")(add(name, does))
    return whole


def _add_stage(stage: argparse.ArgumentParser) -> None:
    stage.add_argument(
        "recipe",
        nargs="?",
        type=Path,
        default=SENTIMENT,
        help="a recipe or a folder of recipes; default: the sentiment family of this package",
    )
    stage.add_argument(
        "--keep-trained",
        action="store_true",
        help="do not train weights again because the code of this program has changed",
    )
    _add_registry(stage)


def _add_registry(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--registry",
        type=Path,
        default=BUILT_REGISTRY,
        help="folder of families; default: %(default)s",
    )


def _add_report(report: argparse.ArgumentParser) -> None:
    report.add_argument("family", help="a family of the registry")
    _add_registry(report)
    _add_output(report)


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--output",
        type=Path,
        default=REPORTS,
        help="where the family's folder of reports goes; default: %(default)s",
    )


if __name__ == "__main__":
    sys.exit(main())
