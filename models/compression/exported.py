"""An exported classifier: imported, and written in the number formats, without any training."""

import sys
from collections.abc import Sequence
from pathlib import Path

from models.compression.user_texts import SEPARATOR, UserTexts, check_whole
from models.compression.wanted import Wanted
from models.data.labels import labels_by_number
from models.graphs.import_bundle import import_folder
from models.published.quantizing import quantize
from models.published.texts import Columns, read_texts
from models.recipe import RecipeError
from models.recipe_sections import Scheme
from serving.bundles.bundle import Bundle, Manifest
from serving.bundles.exported import ONNX_SUFFIX, find_source, graphs_of
from serving.bundles.files import listed

ORIGINAL = "original"
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def is_exported(source: Path) -> bool:
    """Whether it is an ONNX graph, or a folder that has one and no weights to train."""
    if not source.is_dir():
        return source.suffix == ONNX_SUFFIX
    has_weights = any(next(source.glob(name), None) for name in _WEIGHTS)
    return bool(graphs_of(source)) and not has_weights


def make_formats(
    source: Path, wanted: Wanted, found: UserTexts, schemes: Sequence[Scheme]
) -> list[str]:
    """Publish it as `original`, and beside it every number format that can be made; return them.

    Accuracy is measured if the texts have labels, else agreement with the original. Raises
    RecipeError or BundleError if it cannot be imported, the texts have none of its labels, or it
    can be written in no other number format; one that fails is said.
    """
    label = (wanted.label or "label") if found.labels else None
    files = found.labelled if found.labels else found.unlabelled
    columns = Columns((wanted.text,), label, _separator(wanted))

    def check(bundle: Bundle) -> None:
        _check(source, found, wanted, bundle.manifest)
        read_texts(files, columns, bundle)

    graph = find_source(source, choose_by="SOURCE, which may be the graph itself").graph
    bundle = import_folder(
        graph, wanted.family, ORIGINAL, wanted.registry, check=check, say=_warn, tell=print
    )
    print(f"Imported as {bundle.folder}")
    target = f"{wanted.family}/{ORIGINAL}"
    return [ORIGINAL, *quantize(target, schemes, files, columns, wanted.registry, say=_warn)]


def _check(source: Path, found: UserTexts, wanted: Wanted, manifest: Manifest) -> None:
    """Raise RecipeError if it is not fp32, or no text has a label of it, by name or number."""
    if manifest.precision != "fp32":
        raise RecipeError(f"{source} is {manifest.precision}: give the graph in fp32")
    names = found.names(_separator(wanted))
    if manifest.multi_label and found.problem_type == "single_label" and wanted.separator is None:
        check_whole(names)
    is_numbered = labels_by_number(names, manifest.labels)
    if not names or is_numbered or not names.isdisjoint(manifest.labels):
        return
    raise RecipeError(
        f"{source} answers {listed(manifest.labels)}, but the texts are labelled "
        f"{listed(sorted(names))}: make `id2label` in its config.json and the labels agree, or "
        "name another column with --label"
    )


def _separator(wanted: Wanted) -> str:
    return SEPARATOR if wanted.separator is None else wanted.separator


def _warn(sentence: str) -> None:
    print(sentence, file=sys.stderr)
