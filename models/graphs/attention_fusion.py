"""Fuses self-attention by what it computes, whichever exporter wrote it.

onnxruntime's optimiser recognises the exact nodes of some exporters; here each softmax of scores is
followed to the linear layers before it and to the matrix product after it. What is found is only
likely to be attention, so a caller must compare the result's answers with the original's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.transformers.onnx_model import OnnxModel

from models.graphs.wiring import Array, UnknownGraph, Wiring, attribute, observed

MASK = "int32_attention_mask"
_PASSED = {"Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze", "Flatten"}
_AFTER_SOFTMAX = {"Where", "Dropout", "Identity", "Cast"}


_Weights = dict[tuple[tuple[str, str], ...], list[TensorProto]]
"""Fused weights and bias by the names of what they were made of."""


@dataclass(frozen=True)
class _Projection:
    """A linear layer of a tensor: `source` times `weights` plus `bias`, all times `scale`."""

    source: str
    weights: Array
    bias: Array
    scale: float
    names: tuple[str, str]
    """Of weights and bias, which layers may share."""


def fuse_attention(model: OnnxModel, feed: Mapping[str, Array]) -> int:
    """Replace every self-attention by an Attention node, and return how many there are.

    They read the graph's attention_mask. `feed` is a probe: its values do not matter, its shape
    does. Raises UnknownGraph, the graph half changed, when one is not as expected.
    """
    wiring = Wiring(model.model)
    nodes = model.model.graph.node
    softmaxes = [node for node in nodes if node.op_type == "Softmax"]
    factors = [
        name
        for node in nodes
        if node.op_type in {"Mul", "Div"}
        for name in node.input
        if wiring.constant(name) is None and not wiring.depends_on_weights(name)
    ]
    seen = observed(model.model, feed, [*(node.input[0] for node in softmaxes), *factors])
    # Some exporters compute the scale from shapes.
    scales = {name: float(seen[name].reshape(())) for name in factors if seen[name].size == 1}
    # A softmax of logits has two axes.
    layers = [node for node in softmaxes if seen[node.input[0]].ndim == 4]
    if not layers:
        raise UnknownGraph("it has no softmax of attention scores")
    mask = helper.make_node("Cast", ["attention_mask"], [MASK], name=MASK, to=TensorProto.INT32)
    weights: _Weights = {}
    fused = [
        _Attention(wiring, scales, weights, f"attention.{number}").fused(
            node, seen[node.input[0]].shape[1]
        )
        for number, node in enumerate(layers)
    ]
    model.add_node(mask)
    for tensors in weights.values():
        model.model.graph.initializer.extend(tensors)
    for node in fused:
        model.remove_node(wiring.producer(node.output[0]))
        model.add_node(node)
    model.prune_graph()
    model.topological_sort()
    return len(fused)


class _Attention:
    """One self-attention, from its softmax outwards."""

    def __init__(
        self, wiring: Wiring, scales: dict[str, float], weights: _Weights, name: str
    ) -> None:
        self._wiring = wiring
        self._scales = scales
        self._weights = weights
        self._name = name

    def _unknown(self, does: str) -> UnknownGraph:
        return UnknownGraph(f"{self._name} {does}")

    def fused(self, softmax: NodeProto, heads: int) -> NodeProto:
        """Return the fused node; its weights are added to `weights`."""
        if attribute(softmax, "axis", -1) not in {-1, 3}:
            raise self._unknown("normalises its scores along another axis")
        product, scale, added = self._before(softmax.input[0])
        query, key = (self._projection(each) for each in product.input)
        weighted = self._weighted_sum(softmax.output[0])
        value = self._projection(weighted.input[1])
        parts = (query, key, value)
        shapes = {each.weights.shape for each in parts}
        if len({each.source for each in parts}) != 1 or len(shapes) != 1 or value.scale != 1:
            raise self._unknown("is not of three linear layers, of one shape, of one tensor")
        width = query.weights.shape[1]
        if width % heads:
            raise self._unknown(f"has {heads} heads of {width} columns")
        shared = tuple(each.names for each in parts)
        self._weights.setdefault(
            shared,
            [
                numpy_helper.from_array(
                    np.concatenate([each.weights for each in parts], axis=1),
                    f"{self._name}.weights",
                ),
                numpy_helper.from_array(
                    np.concatenate([each.bias for each in parts]), f"{self._name}.bias"
                ),
            ],
        )
        return helper.make_node(
            "Attention",
            [
                query.source,
                *(each.name for each in self._weights[shared]),
                MASK,
                *(["", added] if added else []),
            ],
            [self._context(weighted.output[0])],
            name=self._name,
            domain="com.microsoft",
            num_heads=heads,
            scale=query.scale * key.scale * scale,
        )

    def _before(self, tensor: str) -> tuple[NodeProto, float, str]:
        """Return the product of queries and keys that scores come from, and how it is scaled.

        Also return what is added to all scores for their positions; empty if nothing is.
        """
        scale, added = 1.0, ""
        while node := self._wiring.producer(tensor):
            if node.op_type == "MatMul":
                return node, scale, added
            if node.op_type in {"Mul", "Div"} and (found := self._scaled(node)):
                tensor, factor = found
                scale *= factor
            elif node.op_type == "Add" and not added and (parts := self._with_positions(node)):
                if scale != 1:
                    raise self._unknown("scales what it adds to its scores")
                tensor, added = parts
            elif node.op_type in {"Add", "Where"}:
                tensor = self._masked(node)
            elif node.op_type in {"Identity", "Cast"}:
                tensor = node.input[0]
            else:
                raise self._unknown(f"computes {node.op_type} between product and softmax")
        raise self._unknown("is not of a product")

    def _with_positions(self, node: NodeProto) -> tuple[str, str] | None:
        """Return the scores, and the weights of positions that a node adds to them, if it does."""
        learnt = [each for each in node.input if self._wiring.depends_on_weights(each)]
        by_text = [each for each in learnt if self._wiring.depends_on_inputs(each)]
        if len(learnt) != 2 or len(by_text) != 1:
            return None
        (positions,) = (each for each in learnt if each not in by_text)
        return by_text[0], positions

    def _masked(self, node: NodeProto) -> str:
        """Return the scores among the inputs of a node that masks them."""
        scores = [each for each in node.input if self._wiring.depends_on_weights(each)]
        if len(scores) != 1:
            raise self._unknown("adds more than a mask and positions to its scores")
        return str(scores[0])

    def _projection(self, tensor: str) -> _Projection:
        """Return the linear layer that queries, keys or values come from."""
        scale, bias, named = 1.0, None, ""
        while node := self._wiring.producer(tensor):
            if node.op_type in {"Mul", "Div"} and bias is None and (found := self._scaled(node)):
                tensor, factor = found
                scale *= factor
            elif node.op_type in _PASSED:
                tensor = node.input[0]
            elif node.op_type == "Add" and bias is None and (named := self._constant_of(node)):
                bias = self._wiring.constant(named)
                tensor = next(each for each in node.input if each != named)
            elif node.op_type == "MatMul":
                weights = self._wiring.constant(node.input[1])
                if weights is None or weights.ndim != 2:
                    break
                if bias is None:
                    bias = np.zeros(weights.shape[1], weights.dtype)
                if bias.shape != weights.shape[1:]:
                    break
                return _Projection(node.input[0], weights, bias, scale, (node.input[1], named))
            else:
                break
        kind = "an input" if node is None else node.op_type
        raise self._unknown(f"reads {kind}, not linear layers alone")

    def _constant_of(self, node: NodeProto) -> str:
        """Return the constant among a node's inputs; empty if there is none."""
        known = (each for each in node.input if self._wiring.shape_of_constant(each) is not None)
        return next(known, "")

    def _scaled(self, node: NodeProto) -> tuple[str, float] | None:
        """Return what a node multiplies by one number, and that number."""
        left, right = node.input
        number = self._number(right)
        if number is not None:
            return left, number if node.op_type == "Mul" else 1 / number
        number = self._number(left)
        return None if number is None or node.op_type == "Div" else (right, number)

    def _number(self, tensor: str) -> float | None:
        return self._scales.get(tensor, self._wiring.number(tensor))

    def _weighted_sum(self, tensor: str) -> NodeProto:
        """Return the product of the attention weights and the values."""
        while True:
            # Where a row has no token, some exporters replace what is not a number.
            readers = [node for node in self._wiring.consumers(tensor) if node.op_type != "IsNaN"]
            if len(readers) != 1 or tensor in self._wiring.outputs:
                raise self._unknown("gives its weights to others than the values")
            (node,) = readers
            if node.op_type == "MatMul" and node.input[0] == tensor:
                return node
            if node.op_type not in _AFTER_SOFTMAX:
                raise self._unknown(f"computes {node.op_type} after its softmax")
            tensor = node.output[0]

    def _context(self, tensor: str) -> str:
        """Return attention's output with its heads side by side."""
        transposed = False
        while True:
            readers = self._wiring.consumers(tensor)
            if len(readers) != 1 or readers[0].op_type not in _PASSED:
                raise self._unknown("does not put its heads side by side")
            (node,) = readers
            tensor = node.output[0]
            if node.op_type == "Transpose":
                transposed = True
                if list(attribute(node, "perm", [])) != [0, 2, 1, 3]:
                    raise self._unknown("puts its heads side by side in another order")
            elif node.op_type == "Reshape" and transposed:
                return tensor
