"""The commands that need no recipe: `import`, `cascade`, `explain` and others.

What it runs is imported when it is called, so that `--help` needs no optional package.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

from models import windows
from models.arguments import number_in
from models.recipe_sections import Scheme
from serving.errors import BundleError
from serving.inference.explanation import Method

_ONLY_PUBLISHED = ("data", "text", "label", "scheme", "agreement_with", "long")


def add_import(imports: argparse.ArgumentParser) -> None:
    """Add the arguments of `import`."""
    imports.add_argument(
        "folder",
        type=Path,
        help="a folder with model.onnx, tokenizer.json and config.json; or an ONNX file",
    )
    imports.add_argument(
        "--graph",
        default="",
        metavar="NAME",
        help="which graph, where the folder has several, such as onnx/model_int8.onnx",
    )
    imports.add_argument(
        "--reference",
        type=Path,
        metavar="FOLDER",
        help="compare with transformers on this folder of weights; needs torch",
    )
    imports.add_argument(
        "--as-is", action="store_true", help="leave the graph as it is: neither fuse nor pack it"
    )
    imports.add_argument(
        "--labels", help="the labels of a graph of numbers, separated by commas, in its order"
    )
    imports.add_argument("--pairs", action="store_true", help="the model reads two texts at a time")
    imports.add_argument("--family", required=True, help="name of the family to add it to")
    imports.add_argument("--variant", required=True, help="name of the new variant")
    imports.add_argument("--registry", type=Path, required=True, help="folder of families")


def import_model(options: argparse.Namespace) -> None:
    """Publish a bundle; what is suspicious about it goes to stderr. Raises BundleError."""
    from models.graphs.import_bundle import import_folder  # noqa: PLC0415
    from models.graphs.import_numbers import import_graph  # noqa: PLC0415

    where = (options.folder, options.family, options.variant, options.registry)
    if options.labels:
        labels = [label.strip() for label in options.labels.split(",")]
        bundle = import_graph(*where, labels)
    else:
        bundle = import_folder(
            *where,
            pairs=options.pairs,
            graph=options.graph,
            reference=options.reference,
            as_is=options.as_is,
            say=lambda sentence: print(sentence, file=sys.stderr),
            tell=print,
        )
    print(f"Imported as {bundle.folder}")


def add_measuring(command: argparse.ArgumentParser, *, schemes: bool) -> None:
    """Add the arguments of `evaluate` or `quantize` that need no recipe."""
    published = command.add_argument_group(
        "published bundles", "with --data, RECIPE is FAMILY or FAMILY/VARIANT of the registry"
    )
    published.add_argument(
        "--data", type=Path, nargs="+", metavar="FILE", help="tables of texts (CSV, TSV, ...)"
    )
    published.add_argument(
        "--text", action="append", metavar="COLUMN",
        help="column of the text, twice for a model of pairs; default: text",
    )  # fmt: skip
    published.add_argument(
        "--separator", default=",", help="between a cell's labels, if it has several; default: ,"
    )
    published.add_argument(
        "--long", choices=("truncate", "windows"),
        help="what becomes of long texts; default: as in windows.json, or truncate",
    )  # fmt: skip
    if schemes:
        published.add_argument(
            "--scheme", nargs="+", choices=get_args(Scheme), metavar="NAME",
            help=f"number formats to write: {', '.join(get_args(Scheme))}",
        )  # fmt: skip
        published.add_argument(
            "--label", metavar="COLUMN", help="measure accuracy by this column, not agreement"
        )
    else:
        published.add_argument(
            "--label", metavar="COLUMN", help="column of the label; default: label"
        )
        published.add_argument(
            "--agreement-with", default="", metavar="VARIANT",
            help="measure agreement with this variant, or FAMILY/VARIANT, without labels",
        )  # fmt: skip


def add_explain(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `explain` but for registry and output."""
    command.add_argument("family", help="FAMILY or FAMILY/VARIANT of the registry")
    command.add_argument(
        "--data", type=Path, nargs="+", metavar="FILE", required=True,
        help="tables of texts (CSV, TSV, ...)",
    )  # fmt: skip
    command.add_argument(
        "--text", default="text", metavar="COLUMN", help="column of the text; default: %(default)s"
    )
    command.add_argument(
        "--method", choices=get_args(Method), default="shapley", help="default: %(default)s"
    )
    command.add_argument(
        "--budget", type=number_in(2, 2000), default=200,
        help="texts to evaluate for each explanation, 2 to 2000; default: %(default)s",
    )  # fmt: skip
    command.add_argument(
        "--texts", type=number_in(1, 100_000), default=200,
        help="explain the first different ones, 1 to 100000; default: %(default)s",
    )  # fmt: skip


def explain(options: argparse.Namespace) -> None:
    """Measure explanations of published bundles. Raises RecipeError or BundleError."""
    from models.published.explaining import Wanted  # noqa: PLC0415
    from models.published.explaining import explain as measure  # noqa: PLC0415
    from models.published.texts import Columns  # noqa: PLC0415

    measure(
        options.family, options.data, Columns((options.text,)), options.registry,
        output=options.output / options.family.partition("/")[0],
        wanted=Wanted(options.method, options.budget, options.texts),
    )  # fmt: skip


def is_published(options: argparse.Namespace) -> bool:
    """Whether the command is one on published bundles. Raises BundleError if it is half of one."""
    given = {name: getattr(options, name, None) for name in _ONLY_PUBLISHED}
    if options.command not in ("evaluate", "quantize") or not any(given.values()):
        return False
    needed = ["data", *(["scheme"] if options.command == "quantize" else [])]
    for name in needed:
        if not given[name]:
            raise BundleError(f"{options.command} of a published bundle needs --{name}")
    if options.command == "evaluate" and options.label and options.agreement_with:
        raise BundleError("--agreement-with reads no labels: leave out --label")
    return True


def change_published(options: argparse.Namespace) -> None:
    """Run `evaluate` or `quantize` on published bundles. Raises RecipeError or BundleError."""
    from models.published.texts import Columns  # noqa: PLC0415

    columns = Columns(tuple(options.text or ["text"]), options.label, options.separator)
    target = str(options.recipe)
    if options.command == "quantize":
        from models.published.quantizing import quantize  # noqa: PLC0415

        quantize(
            target, options.scheme, options.data, columns, options.registry,
            long=options.long, say=lambda sentence: print(sentence, file=sys.stderr),
        )  # fmt: skip
        return
    from models.published.measuring import evaluate  # noqa: PLC0415

    if not options.agreement_with:
        columns = replace(columns, label="label" if options.label is None else options.label)
    evaluate(
        target, options.data, columns, options.registry,
        reference=options.agreement_with, long=options.long,
    )  # fmt: skip


def add_cascade(cascade: argparse.ArgumentParser) -> None:
    """Add the arguments of `cascade`."""
    cascade.add_argument("family", help="a family of the registry")
    cascade.add_argument(
        "--max-loss",
        type=float,
        default=0.005,
        help="largest loss to allow, as a fraction; default: %(default)s",
    )
    cascade.add_argument(
        "--confidence",
        type=float,
        default=0.95,
        help="confidence of the guarantee, as a fraction; default: %(default)s",
    )
    cascade.add_argument(
        "--loss",
        choices=("agreement", "accuracy"),
        default="agreement",
        help="texts that the largest variant would label otherwise, or its accuracy minus the "
        "cascade's; default: %(default)s",
    )
    cascade.add_argument(
        "--each-label", action="store_true", help="hold the guarantee for the texts of each label"
    )
    cascade.add_argument(
        "--variants", default="", help="variants to use, separated by commas; default: all"
    )
    cascade.add_argument(
        "--recalibrate",
        type=Path,
        metavar="TEXTS",
        help="a table of `text` (and `label`, for accuracy) instead of the family's own texts",
    )
    cascade.add_argument(
        "--engine",
        choices=("auto", "onnxruntime", "openvino"),
        default="auto",
        help="what runs the variants; auto is what the server would choose on this machine",
    )
    cascade.add_argument(
        "--long",
        choices=("truncate", "windows"),
        help="how texts beyond the model's length are read; default: windows if that is the "
        "family's default, or else truncate",
    )
    cascade.add_argument(
        "--early-labels",
        nargs="*",
        metavar="LABEL",
        help="let the smaller variants end a text with no other labels than these; without one, "
        "only texts that have no label; default: any",
    )
    cascade.add_argument(
        "--resplit",
        type=int,
        default=0,
        metavar="TIMES",
        help="instead test the guarantee on this many random splits of the texts",
    )


def make_cascade(options: argparse.Namespace, build: Path) -> None:
    """Calibrate a cascade, or test its guarantee. Raises RecipeError or BundleError."""
    from models.cascade.build import check_coverage, run  # noqa: PLC0415
    from models.cascade.options import CascadeOptions, parse_target  # noqa: PLC0415

    target = parse_target(
        loss=options.loss,
        each_label=options.each_label,
        max_loss=options.max_loss,
        confidence=options.confidence,
    )
    variants = [name.strip() for name in options.variants.split(",") if name.strip()]
    request = CascadeOptions(
        options.family,
        options.registry,
        build,
        target,
        variants,
        options.recalibrate,
        options.engine,
        options.long,
        options.early_labels,
    )
    if options.resplit:
        check_coverage(request, options.resplit)
    else:
        run(request, options.output / options.family)


ON_BUNDLES: Mapping[str, Callable[[argparse.Namespace], None]] = {
    "import": import_model,
    "explain": explain,
    "windows": windows.calibrate,
}
"""Commands that run without a recipe."""
