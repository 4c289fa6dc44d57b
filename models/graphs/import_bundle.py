"""Imports an exported Hugging Face classifier or a graph of numbers as a bundle, without torch."""

import json
import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from models.training.position_limit import longest_input
from serving.bundles.bundle import (
    CONFIG_NAME,
    MODEL_NAME,
    TOKENIZER_NAME,
    Bundle,
    Datatype,
    Precision,
    TensorInput,
    write_manifest,
)
from serving.bundles.registry import publish
from serving.errors import BundleError

_DATATYPES: dict[int, Datatype] = {
    onnx.TensorProto.BOOL: "BOOL",
    onnx.TensorProto.UINT8: "UINT8",
    onnx.TensorProto.UINT16: "UINT16",
    onnx.TensorProto.UINT32: "UINT32",
    onnx.TensorProto.UINT64: "UINT64",
    onnx.TensorProto.INT8: "INT8",
    onnx.TensorProto.INT16: "INT16",
    onnx.TensorProto.INT32: "INT32",
    onnx.TensorProto.INT64: "INT64",
    onnx.TensorProto.FLOAT16: "FP16",
    onnx.TensorProto.FLOAT: "FP32",
    onnx.TensorProto.DOUBLE: "FP64",
}
_PRECISIONS: dict[int, Precision] = {
    onnx.TensorProto.FLOAT: "fp32",
    onnx.TensorProto.DOUBLE: "fp32",  # the widest that a manifest can name
    onnx.TensorProto.FLOAT16: "fp16",
    onnx.TensorProto.BFLOAT16: "bf16",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.UINT8: "int8",
    onnx.TensorProto.INT4: "int4",
    onnx.TensorProto.UINT4: "int4",
}
# Shapes, indices and flags.
_NOT_WEIGHTS = {
    onnx.TensorProto.INT32,
    onnx.TensorProto.INT64,
    onnx.TensorProto.BOOL,
    onnx.TensorProto.STRING,
}
_MODEL_PATHS = (MODEL_NAME, f"onnx/{MODEL_NAME}")


def import_folder(
    folder: Path, family: str, variant: str, registry: Path, *, pairs: bool = False
) -> Bundle:
    """Publish `folder` (model.onnx or onnx/model.onnx, tokenizer.json, config.json) as a bundle.

    `pairs` says that the model reads two texts at a time.
    Raises BundleError naming the file that is missing or unusable.
    """
    model = next((p for name in _MODEL_PATHS if (p := folder / name).is_file()), None)
    if model is None:
        raise BundleError(f"{folder} has no {' or '.join(_MODEL_PATHS)}: export the model to ONNX")
    try:
        config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        labels = [config["id2label"][str(index)] for index in range(len(config["id2label"]))]
        tokenizer = json.loads((folder / TOKENIZER_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{folder} needs a tokenizer.json and a config.json with id2label: {error!r}"
        ) from error
    graph = _read_graph(model)
    with tempfile.TemporaryDirectory() as scratch:
        staged = Path(scratch)
        for source, name in (
            (model, MODEL_NAME),
            (folder / CONFIG_NAME, CONFIG_NAME),
            (folder / TOKENIZER_NAME, TOKENIZER_NAME),
        ):
            shutil.copyfile(source, staged / name)
        write_manifest(
            staged,
            family=family,
            variant=variant,
            labels=labels,
            problem_type=_problem_type(config),
            max_length=_max_length(config, tokenizer),
            pairs=pairs,
            pad_token_id=config.get("pad_token_id") or 0,
            precision=_precision(model, graph),
            parameters=_parameters(graph),
        )
        return publish(staged, registry)


def import_graph(
    model: Path, family: str, variant: str, registry: Path, labels: Sequence[str]
) -> Bundle:
    """Publish an ONNX graph that reads rows of numbers and whose first output is logits.

    Raises BundleError naming what is wrong with the graph.
    """
    graph = _read_graph(model)
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [_tensor(model, each) for each in graph.input if each.name not in weights]
    logits = next((each for each in graph.output if each.name == "logits"), graph.output[0])
    shape = [dimension.dim_value for dimension in logits.type.tensor_type.shape.dim]
    if len(shape) != 2 or shape[1] not in {0, len(labels)}:
        raise BundleError(
            f"{model}: {logits.name} has the shape {shape}, not [batch, {len(labels)}]: "
            "export one logit for each label"
        )
    with tempfile.TemporaryDirectory() as scratch:
        staged = Path(scratch)
        shutil.copyfile(model, staged / MODEL_NAME)
        config = {"id2label": {str(index): label for index, label in enumerate(labels)}}
        (staged / CONFIG_NAME).write_text(json.dumps(config), encoding="utf-8")
        write_manifest(
            staged,
            family=family,
            variant=variant,
            labels=list(labels),
            problem_type="single_label",
            max_length=1,
            tensors=inputs,
            pad_token_id=0,
            precision=_precision(model, graph),
            parameters=_parameters(graph),
        )
        return publish(staged, registry)


def _tensor(model: Path, given: Any) -> TensorInput:
    batch, *shape = given.type.tensor_type.shape.dim or [None]
    sizes = [dimension.dim_value for dimension in shape]
    kind = _DATATYPES.get(given.type.tensor_type.elem_type)
    if batch is None or batch.dim_value or not all(sizes) or kind is None:
        raise BundleError(
            f"{model}: {given.name} is not numbers of the shape [batch, fixed sizes]: "
            "export it with a dynamic first dimension and all others fixed"
        )
    return TensorInput(name=given.name, datatype=kind, shape=sizes)


def _parameters(graph: Any) -> int:
    return sum(math.prod(tensor.dims) for tensor in graph.initializer if tensor.dims)


def _read_graph(model: Path) -> Any:
    try:
        loaded = onnx.load(model, load_external_data=False)
    except Exception as error:  # protobuf raises its own bare types
        raise BundleError(f"{model} is not an ONNX file: {error}") from error
    if any(tensor.external_data for tensor in loaded.graph.initializer):
        raise BundleError(f"{model} keeps its weights in other files: save it as a single file")
    return loaded.graph


def _problem_type(config: dict[str, Any]) -> str:
    multiple = config.get("problem_type") == "multi_label_classification"
    return "multi_label" if multiple else "single_label"


def _max_length(config: dict[str, Any], tokenizer: dict[str, Any]) -> int:
    longest = longest_input(config)
    return min(longest, int((tokenizer.get("truncation") or {}).get("max_length", longest)))


def _precision(model: Path, graph: Any) -> Precision:
    """The number format of most of the weights; fp32 when there are none."""
    counts: Counter[int] = Counter()
    for tensor in graph.initializer:
        if tensor.data_type not in _NOT_WEIGHTS:
            counts[tensor.data_type] += math.prod(tensor.dims)
    kind = next((kind for kind, _ in counts.most_common(1)), onnx.TensorProto.FLOAT)
    if kind not in _PRECISIONS:
        raise BundleError(
            f"{model} stores its weights as {onnx.TensorProto.DataType.Name(kind)}: export them "
            f"as one of {', '.join(sorted(set(_PRECISIONS.values())))}"
        )
    return _PRECISIONS[kind]
