"""How the nodes of an ONNX graph hang together, and what its tensors hold for a probe."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime.transformers.onnx_model import OnnxModel

_SEVERITY_FATAL = 4
_FLOATS = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
    onnx.TensorProto.DOUBLE,
}
Array = npt.NDArray[np.generic]


class UnknownGraph(Exception):
    """A graph is not built as a rewrite needs it; the message says what differs."""


class Wiring:
    """Producers, consumers and constants of a graph as it is now; it does not follow changes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.outputs = {each.name for each in graph.output}
        self._constants = {each.name: each for each in graph.initializer}
        self._constants |= {
            node.output[0]: node.attribute[0].t
            for node in graph.node
            if node.op_type == "Constant" and node.attribute[0].name == "value"
        }
        self._producers: dict[str, onnx.NodeProto] = {}
        self._consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in node.output:
                self._producers[name] = node
            # One that reads a tensor twice consumes it once.
            for name in dict.fromkeys(node.input):
                self._consumers[name].append(node)

    def producer(self, tensor: str) -> onnx.NodeProto | None:
        """Return the node that computes a tensor; None for inputs and constants."""
        return self._producers.get(tensor)

    def consumers(self, tensor: str) -> list[onnx.NodeProto]:
        """Return the nodes that read a tensor's values; those that read its shape do not count."""
        return [node for node in self._consumers[tensor] if node.op_type != "Shape"]

    def constant(self, tensor: str) -> Array | None:
        """Return a constant's value; None for a tensor that is computed or fed."""
        found = self._constants.get(tensor)
        return None if found is None else numpy_helper.to_array(found)

    def number(self, tensor: str) -> float | None:
        """Return the value of a constant that is one number; None for any other tensor."""
        value = self._constants.get(tensor)
        if value is None or math.prod(value.dims) != 1:
            return None
        return float(numpy_helper.to_array(value).reshape(()))

    def shape_of_constant(self, tensor: str) -> tuple[int, ...] | None:
        """Return the shape of a constant; None for a tensor that is computed or fed."""
        found = self._constants.get(tensor)
        return None if found is None else tuple(found.dims)

    def depends_on_weights(self, tensor: str) -> bool:
        """Whether a tensor is computed from more than inputs, shapes and single numbers."""
        left, seen = [tensor], set()
        while left:
            name = left.pop()
            if name in seen:
                continue
            seen.add(name)
            value = self._constants.get(name)
            if value is not None and value.data_type in _FLOATS and math.prod(value.dims) > 1:
                return True
            node = self._producers.get(name)
            if node is not None and node.op_type != "Shape":
                left += [each for each in node.input if each]
        return False

    def depends_on_inputs(self, tensor: str) -> bool:
        """Whether a tensor is computed from the values of inputs, not from their shapes alone."""
        left, seen = [tensor], set()
        while left:
            name = left.pop()
            if not name or name in seen or name in self._constants:
                continue
            seen.add(name)
            node = self._producers.get(name)
            if node is None:
                return True
            if node.op_type != "Shape":
                left += node.input
        return False


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return the value of a node's attribute."""
    found = next((each for each in node.attribute if each.name == name), None)
    return default if found is None else onnx.helper.get_attribute_value(found)


def observed(
    model: onnx.ModelProto, feed: Mapping[str, Array], tensors: Iterable[str]
) -> dict[str, Array]:
    """Run the graph as it is and return the values of these tensors.

    Raises UnknownGraph when ONNX Runtime cannot run it.
    """
    names = list(dict.fromkeys(tensors))
    fed = {name: feed[name] for name in names if name in feed}
    wanted = [name for name in names if name not in feed]
    if not wanted:
        return fed
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    OnnxModel(shown).prune_graph()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = _SEVERITY_FATAL
    try:
        session = onnxruntime.InferenceSession(
            shown.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        read = {each.name for each in session.get_inputs()}
        values = session.run(wanted, {name: feed[name] for name in read})
    except Exception as error:  # onnxruntime raises many bare types
        raise UnknownGraph(f"ONNX Runtime cannot run it: {error}") from error
    return fed | dict(zip(wanted, values, strict=True))
