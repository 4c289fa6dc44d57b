"""Fuses self-attention by what it computes, whichever exporter wrote it.

onnxruntime's optimiser recognises the exact nodes of some exporters; here each softmax of scores is
followed to the linear layers before it and to the matrix product after it. What is found is only
likely to be attention, so a caller must compare the result's answers with the original's.
"""

from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.transformers.onnx_model import OnnxModel

from models.graphs.wiring import Array, UnknownGraph, Wiring, attribute, observed

MASK = "int32_attention_mask"
_PASSED = {"Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze", "Flatten"}
_AFTER_SOFTMAX = {"Where", "Dropout", "Identity", "Cast"}


@dataclass(frozen=True)
class _Projection:
    """A linear layer of a tensor: `source` times `weights` plus `bias`, all times `scale`."""

    source: str
    weights: Array
    bias: Array
    scale: float


def fuse_attention(model: OnnxModel, feed: dict[str, Array]) -> int:
    """Replace every self-attention by an Attention node, and return how many there are.

    They read the graph's attention_mask. `feed` is a probe: its values do not matter, its shape
    does. Raises UnknownGraph, the graph half changed, when one is not as expected.
    """
    wiring = Wiring(model.model)
    softmaxes = [node for node in model.model.graph.node if node.op_type == "Softmax"]
    scores = observed(model.model, feed, [node.input[0] for node in softmaxes])
    # A softmax of logits has two axes.
    layers = [node for node in softmaxes if scores[node.input[0]].ndim == 4]
    if not layers:
        raise UnknownGraph("it has no softmax of attention scores")
    mask = helper.make_node(
        "Cast", ["attention_mask"], [MASK], name=MASK, to=TensorProto.INT32
    )
    fused = [
        _attention(wiring, node, scores[node.input[0]].shape[1], f"attention.{number}")
        for number, node in enumerate(layers)
    ]
    model.add_node(mask)
    for node, weights in fused:
        old = wiring.producer(node.output[0])
        assert old is not None
        model.remove_node(old)
        model.model.graph.initializer.extend(weights)
        model.add_node(node)
    model.prune_graph()
    model.topological_sort()
    return len(fused)


def _attention(
    wiring: Wiring, softmax: NodeProto, heads: int, name: str
) -> tuple[NodeProto, list[TensorProto]]:
    product, scale = _before(wiring, softmax.input[0], name)
    query, key = (_projection(wiring, each, name) for each in product.input)
    weighted = _weighted_sum(wiring, softmax.output[0], name)
    value = _projection(wiring, weighted.input[1], name)
    parts = (query, key, value)
    shapes = {each.weights.shape for each in parts}
    if len({each.source for each in parts}) != 1 or len(shapes) != 1 or value.scale != 1:
        raise UnknownGraph(f"{name} is not of three linear layers, of one shape, of one tensor")
    width = query.weights.shape[1]
    if width % heads:
        raise UnknownGraph(f"{name} has {heads} heads of {width} columns")
    weights = {
        f"{name}.weights": np.concatenate([each.weights for each in parts], axis=1),
        f"{name}.bias": np.concatenate([each.bias for each in parts]),
    }
    node = helper.make_node(
        "Attention",
        [query.source, *weights, MASK],
        [_context(wiring, weighted.output[0], name)],
        name=name,
        domain="com.microsoft",
        num_heads=heads,
        scale=query.scale * key.scale * scale,
    )
    return node, [numpy_helper.from_array(value, key) for key, value in weights.items()]


def _before(wiring: Wiring, tensor: str, name: str) -> tuple[NodeProto, float]:
    """Return the product of queries and keys that scores come from, and how it is scaled."""
    scale = 1.0
    while node := wiring.producer(tensor):
        if node.op_type == "MatMul":
            return node, scale
        if node.op_type in {"Mul", "Div"} and (found := _scaled(wiring, node)):
            tensor, factor = found
            scale *= factor
        elif node.op_type in {"Add", "Where"}:
            tensor = _masked(wiring, node, name)
        elif node.op_type in {"Identity", "Cast"}:
            tensor = node.input[0]
        else:
            raise UnknownGraph(f"{name} computes {node.op_type} between product and softmax")
    raise UnknownGraph(f"{name} is not of a product")


def _masked(wiring: Wiring, node: NodeProto, name: str) -> str:
    """Return the scores among the inputs of a node that masks them."""
    scores = [each for each in node.input if not _is_mask(wiring, each)]
    if len(scores) != 1:
        raise UnknownGraph(f"{name} adds more than a mask to its scores, such as relative positions")
    return scores[0]


def _is_mask(wiring: Wiring, tensor: str) -> bool:
    """Whether a tensor follows from inputs, shapes and single numbers alone, not from weights."""
    left, seen = [tensor], set()
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        constant = wiring.constant(name)
        if constant is not None and constant.dtype.kind == "f" and constant.size > 1:
            return False
        node = wiring.producer(name)
        if node is not None and node.op_type != "Shape":
            left += [each for each in node.input if each]
    return True


def _projection(wiring: Wiring, tensor: str, name: str) -> _Projection:
    """Return the linear layer that queries, keys or values come from."""
    scale, bias = 1.0, None
    while node := wiring.producer(tensor):
        if node.op_type in {"Mul", "Div"} and bias is None and (found := _scaled(wiring, node)):
            tensor, factor = found
            scale *= factor
        elif node.op_type in _PASSED:
            tensor = node.input[0]
        elif node.op_type == "Add" and bias is None:
            left, right = node.input
            bias, tensor = wiring.constant(right), left
            if bias is None:
                bias, tensor = wiring.constant(left), right
            if bias is None:
                break
        elif node.op_type == "MatMul":
            weights = wiring.constant(node.input[1])
            if weights is None or weights.ndim != 2:
                break
            if bias is None:
                bias = np.zeros(weights.shape[1], weights.dtype)
            if bias.shape != weights.shape[1:]:
                break
            return _Projection(node.input[0], weights, bias, scale)
        else:
            break
    kind = "an input" if node is None else node.op_type
    raise UnknownGraph(f"{name} reads {kind}, not linear layers alone")


def _scaled(wiring: Wiring, node: NodeProto) -> tuple[str, float] | None:
    """Return what a node multiplies by one number, and that number."""
    left, right = node.input
    number = wiring.number(right)
    if number is not None:
        return left, number if node.op_type == "Mul" else 1 / number
    number = wiring.number(left)
    return None if number is None or node.op_type == "Div" else (right, number)


def _weighted_sum(wiring: Wiring, tensor: str, name: str) -> NodeProto:
    """Return the product of the attention weights and the values."""
    while True:
        # Where a row has no token, some exporters replace what is not a number.
        readers = [node for node in wiring.consumers(tensor) if node.op_type != "IsNaN"]
        if len(readers) != 1 or tensor in wiring.outputs:
            raise UnknownGraph(f"{name} gives its weights to others than the values")
        (node,) = readers
        if node.op_type == "MatMul" and node.input[0] == tensor:
            return node
        if node.op_type not in _AFTER_SOFTMAX:
            raise UnknownGraph(f"{name} computes {node.op_type} after its softmax")
        tensor = node.output[0]


def _context(wiring: Wiring, tensor: str, name: str) -> str:
    """Return attention's output with its heads side by side."""
    transposed = False
    while True:
        readers = wiring.consumers(tensor)
        if len(readers) != 1 or readers[0].op_type not in _PASSED:
            raise UnknownGraph(f"{name} does not put its heads side by side")
        (node,) = readers
        tensor = node.output[0]
        if node.op_type == "Transpose":
            transposed = True
            if list(attribute(node, "perm", [])) != [0, 2, 1, 3]:
                raise UnknownGraph(f"{name} puts its heads side by side in another order")
        elif node.op_type == "Reshape" and transposed:
            return tensor
