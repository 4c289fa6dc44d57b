"""What the outline of a graph tells about a classifier, before it runs."""

from collections import Counter
from pathlib import Path, PurePosixPath

from serving.bundles.bundle import Precision
from serving.bundles.files import beside
from serving.bundles.onnx_file import (
    BFLOAT16,
    BOOL,
    DATATYPE_NAMES,
    DOUBLE,
    FLOAT,
    FLOAT16,
    INT4,
    INT8,
    INT32,
    INT64,
    STRING,
    UINT4,
    UINT8,
    Outline,
    Value,
)
from serving.bundles.ports import LOGITS, Port, fitting
from serving.errors import BundleError, failures

FLOATS = {FLOAT: "float32", DOUBLE: "float64", FLOAT16: "float16", BFLOAT16: "bfloat16"}
"""The types of logits, as NumPy names them."""
_PRECISIONS: dict[int, Precision] = {
    FLOAT: "fp32",
    DOUBLE: "fp32",  # the widest that a manifest can name
    FLOAT16: "fp16",
    BFLOAT16: "bf16",
    INT8: "int8",
    UINT8: "int8",
    INT4: "int4",
    UINT4: "int4",
}
# Shapes, indices and flags.
_NOT_WEIGHTS = {INT32, INT64, BOOL, STRING}
_TOKENS = "input_ids"
_TOKEN_INPUTS = {_TOKENS, "attention_mask", "token_type_ids", "position_ids"}
# Operators that pass numbers on as they are, in another shape or type.
_PASSING = {
    "Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "DequantizeLinear",
    "Clip",  # of a probability, against rounding
}  # fmt: skip
# Operators that look up rows by number: the places of their table and of the numbers.
_LOOKUPS = {
    "Gather": (0, 1),
    "GatherBlockQuantized": (0, 1),
    "EmbedLayerNormalization": (2, 0),
    "QEmbedLayerNormalization": (2, 0),
}


def logits_of(outline: Outline, *counts: int) -> Value:
    """Return the output that holds the logits, by the rule by which engines find it (ports.py).

    `counts` are the possible numbers of labels, the most trusted first. Where no output fits, it
    is the one whose refusal says most.
    """
    ports = [
        Port(
            each.name,
            FLOATS.get(each.datatype, ""),
            tuple(size or None for size in each.shape) or None,
        )
        for each in outline.outputs
    ]
    for count in (*counts, 0):
        for found in fitting(ports, count):
            return outline.outputs[ports.index(found)]
    named = [each for each in outline.outputs if each.name == LOGITS]
    return (named or outline.outputs)[0]


def final_operator(outline: Outline, output: str) -> str:
    """Return the operator that computes an output.

    `Softmax` and `Sigmoid` also where they are taken apart: e^x / sum e^x, 1 / (1 + e^-x).
    """
    makers = {name: node for node in outline.nodes for name in node.outputs}
    node = makers.pop(output, None)
    # Each is followed once: a malformed graph may lead in a circle.
    while node and node.operator in _PASSING and node.inputs:
        node = makers.pop(node.inputs[0], None)
    if not node:
        return ""
    if node.operator in {"Div", "Reciprocal"} and node.inputs:
        total = makers.get(node.inputs[-1])
        terms = (
            {each.operator for name in total.inputs if (each := makers.get(name))} if total else {}
        )
        if total and "Exp" in terms:
            return {"ReduceSum": "Softmax", "Add": "Sigmoid"}.get(total.operator, node.operator)
    return node.operator


def fixed_tokens(outline: Outline) -> int:
    """Return the number of tokens that the graph is fixed to; 0 if any number will do."""
    shapes = [each.shape for each in outline.inputs if each.name in _TOKEN_INPUTS]
    return max((shape[1] for shape in shapes if len(shape) > 1), default=0)


def embedding_rows(outline: Outline) -> int:
    """Return how many token ids the graph knows; 0 if its embedding is not found."""
    weights = {each.name: each for each in outline.weights}
    sources = {
        name: node.inputs[0]
        for node in outline.nodes
        if node.operator in _PASSING and node.inputs
        for name in node.outputs
    }

    def origin(name: str) -> str:
        for _ in sources:  # no longer, since a malformed graph may lead in a circle
            if name not in sources:
                break
            name = sources[name]
        return name

    rows = [0]
    for node in outline.nodes:
        table, numbers = _LOOKUPS.get(node.operator, (0, 0))
        if table == numbers or len(node.inputs) <= max(table, numbers):
            continue
        found = weights.get(origin(node.inputs[table]))
        if found and len(found.shape) == 2 and origin(node.inputs[numbers]) == _TOKENS:
            rows.append(found.shape[0])
    return min(rows[1:], default=0)


def precision_of(outline: Outline) -> Precision:
    """Return the number format of most of the weights; fp32 when there are none.

    Raises BundleError if no manifest can name it.
    """
    counts: Counter[int] = Counter()
    for weights in outline.weights:
        if weights.datatype not in _NOT_WEIGHTS:
            counts[weights.datatype] += weights.size
    kind = next((kind for kind, _ in counts.most_common(1)), FLOAT)
    if kind not in _PRECISIONS:
        raise BundleError(
            f"{outline.path} stores its weights as {DATATYPE_NAMES.get(kind, kind)}: export them "
            f"as one of {', '.join(sorted(set(_PRECISIONS.values())))}"
        )
    return _PRECISIONS[kind]


def parameters_of(outline: Outline) -> int:
    """Return the number of values in the weights."""
    return sum(each.size for each in outline.weights if each.shape)


def external_files(outline: Outline) -> dict[str, Path]:
    """Return the files beside the graph that hold weights, by name.

    Raises BundleError if one is missing or lies elsewhere.
    """
    files = {}
    for name in outline.external_files:
        path = outline.path.parent / name
        if PurePosixPath(name).name != name:
            raise BundleError(
                f"{outline.path} keeps its weights in {name}: save it as a single file, or with "
                "its weights in a file beside it"
            )
        if not path.is_file():
            raise BundleError(
                f"{outline.path} keeps its weights in {name}, which is not beside it: copy it "
                "there, or save the graph as a single file"
            )
        with failures(BundleError, str(outline.path)):
            files[name] = beside(path, outline.path)
    return files
