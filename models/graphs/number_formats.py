"""Number formats of a bundle's graph: what each is made from, and one that is finished."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import onnx

from models.graphs.quantizers import OnnxScheme, quantize_graph
from models.graphs.split_attention import adds_to_scores, split_attention
from models.recipe_sections import Scheme
from models.training.encodings import readable
from serving.bundles.bundle import (
    CONFIG_NAME,
    MODEL_NAME,
    OPENVINO_NAMES,
    TOKENIZER_NAME,
    Bundle,
    Manifest,
    Precision,
    write_manifest,
)
from serving.bundles.ports import Port
from serving.errors import BundleError
from serving.inference.inputs import Text
from serving.inference.signature import Feed, read_signature
from serving.inference.tokenizer import open_tokenizer

PRECISIONS: dict[Scheme, Precision] = {
    "int8-dynamic": "int8",
    "int8-static": "int8",
    "int8-openvino": "int8",
    "int4": "int4",
    "fp16": "fp16",
}
"""The number format in which a scheme stores most of the weights."""


def write_format(
    scheme: Scheme, parent: Bundle, variant: str, folder: Path, ranges: Sequence[Text]
) -> Bundle:
    """Write a bundle's graph in another number format, unmeasured, as `variant` into `folder`.

    The ranges of activations are those seen on the texts `ranges`. Raises BundleError, or whatever
    a library raises where it cannot convert the graph.
    """
    if scheme == "int8-openvino":
        from models.graphs import nncf_int8  # noqa: PLC0415 (slow to import)

        feeds = feeds_of(parent, parent.model_path, ranges)
        nncf_int8.write_all(parent.model_path, folder / OPENVINO_NAMES[0], feeds)
    else:
        source = folder / f"source-{MODEL_NAME}"
        write_source(scheme, parent.model_path, source)
        feeds = feeds_of(parent, source, ranges) if scheme == "int8-static" else []
        quantize_graph(scheme, source, folder / MODEL_NAME, calibration=feeds)
        source.unlink()
    copy_inputs(parent, folder)
    return Bundle(folder, finish(scheme, parent, variant, parent.manifest.variant, folder))


def write_source(scheme: OnnxScheme, graph: Path, output: Path) -> None:
    """Write what of a graph the scheme is made from, as one file: with attention split or not.

    Raises UnknownGraph where fused weights cannot be told apart.
    """
    if scheme in ("int8-static", "int4") or (scheme == "int8-dynamic" and adds_to_scores(graph)):
        split_attention(graph, output)
    else:
        onnx.save(onnx.load(graph), output)


def copy_inputs(parent: Bundle, folder: Path) -> None:
    """Copy what is the same in every number format."""
    for name in (CONFIG_NAME, TOKENIZER_NAME):
        shutil.copyfile(parent.path(name), folder / name)


def finish(
    scheme: Scheme, parent: Bundle, variant: str, made_from: str | None, folder: Path
) -> Manifest:
    """Add the manifest of a bundle that is not evaluated yet to its other files in `folder`."""
    figures = {"evaluations", "agreement", "explanations", "robustness", "group_report"}
    measured = {*figures, "counterfactuals"}
    own = {"version", "bytes", "files", "recipe", "build_seconds", *measured}
    fields = parent.manifest.model_dump(exclude=own)
    fields |= {"variant": variant, "parent": made_from, "precision": PRECISIONS[scheme]}
    return write_manifest(folder, **fields)


def feeds_of(parent: Bundle, graph: Path, texts: Sequence[Text]) -> list[Feed]:
    """Return each text as the inputs of a graph of the bundle."""
    tokenizer = open_tokenizer(parent)
    if tokenizer is None:
        raise BundleError(f"{parent.folder} reads tensors: no texts can calibrate it")
    loaded = onnx.load(graph, load_external_data=False).graph
    weights = {tensor.name for tensor in loaded.initializer}
    inputs = [_port(each) for each in loaded.input if each.name not in weights]
    signature = read_signature(parent, inputs, [_port(each) for each in loaded.output])
    return [signature.feed([encoding]) for encoding in readable(tokenizer, texts)]


def _port(declared: onnx.ValueInfoProto) -> Port:
    tensor = declared.type.tensor_type
    kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return Port(declared.name, kind, tuple(each.dim_value or None for each in tensor.shape.dim))
