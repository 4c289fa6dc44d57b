"""An exported classifier: imported, and written in the number formats, without any training."""

import sys
from collections.abc import Sequence
from pathlib import Path

from models.compression.user_texts import UserTexts
from models.compression.wanted import Wanted
from models.graphs.import_bundle import import_folder
from models.published.quantizing import quantize
from models.published.texts import Columns
from models.recipe_sections import Scheme
from serving.bundles.exported import ONNX_SUFFIX, graphs_of
from serving.errors import BundleError

ORIGINAL = "original"
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def is_exported(source: Path) -> bool:
    """Whether it is an ONNX graph, or a folder that has one and no weights to train."""
    if not source.is_dir():
        return source.suffix == ONNX_SUFFIX
    has_weights = any(next(source.glob(name), None) for name in _WEIGHTS)
    return bool(graphs_of(source)) and not has_weights


def make_formats(source: Path, wanted: Wanted, found: UserTexts, schemes: Sequence[Scheme]) -> None:
    """Publish it as `original`, and beside it every number format that can be made of it.

    Accuracy is measured if the texts have labels, else agreement with the original. Raises
    RecipeError or BundleError if it cannot be imported; a number format that fails is said.
    """
    bundle = import_folder(source, wanted.family, ORIGINAL, wanted.registry, say=_warn, tell=print)
    print(f"Imported as {bundle.folder}")
    label = (wanted.label or "label") if found.labels else None
    files = found.labelled if found.labels else found.unlabelled
    target = f"{wanted.family}/{ORIGINAL}"
    try:
        columns = Columns((wanted.text,), label)
        quantize(target, schemes, files, columns, wanted.registry, say=_warn)
    except BundleError as error:
        print(f"No other number format: {error}")


def _warn(sentence: str) -> None:
    print(sentence, file=sys.stderr)
