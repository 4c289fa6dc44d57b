"""The command `import`: its arguments, and what runs it.

What it runs is imported when it is called, so that `--help` needs no optional package.
"""

import argparse
import sys
from pathlib import Path


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
