"""Reduces a graph to one of its outputs."""

from pathlib import Path

import onnx

from serving.bundles.onnx_file import Outline
from serving.errors import BundleError

_LARGEST_BYTES = 1 << 31


def kept_alone(outline: Outline, output: str, target: Path) -> Path:
    """Write the graph with this output only, and its weights inside.

    Raises BundleError if that exceeds the size of one ONNX file.
    """
    model = onnx.load(outline.path)
    others = [each for each in model.graph.output if each.name != output]
    for each in others:
        model.graph.output.remove(each)
    if model.ByteSize() >= _LARGEST_BYTES:
        raise BundleError(
            f"{outline.path} has the outputs {', '.join(each.name for each in outline.outputs)}: "
            f"export it with {output} as the only one, since it is too large to change here"
        )
    onnx.save(model, target)
    return target
