"""Splits fused attention, so that its matrices are operators of their own, to be quantized."""

from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.transformers.onnx_model import OnnxModel

from models.graphs.wiring import UnknownGraph, Wiring, attribute

_WEIGHTS, _BIAS, _MASK, _PAST, _ADDED = 1, 2, 3, 4, 5
_KEPT = ("num_heads", "mask_filter_value", "scale", "unidirectional")


def adds_to_scores(graph: Path) -> bool:
    """Whether fused attention adds to its scores, which its kernel for int8 leaves out."""
    nodes = onnx.load(graph, load_external_data=False).graph.node
    return any(
        node.op_type == "Attention" and len(node.input) > _ADDED and bool(node.input[_ADDED])
        for node in nodes
    )


def split_attention(source: Path, output: Path) -> None:
    """Write a graph whose attention reads queries, keys and values from three products.

    A graph whose attention is not fused keeps it; Gemm becomes MatMul and Add. Raises UnknownGraph
    where the fused weights cannot be told apart.
    """
    model = OnnxModel(onnx.load(source))
    for node in [each for each in model.model.graph.node if each.op_type == "Attention"]:
        _split(model, node)
    model.prune_graph()
    graph = ONNXModel(model.model)
    graph.replace_gemm_with_matmul()
    graph.clean_initializers()
    model.topological_sort()
    model.save_model_to_file(str(output))


def _split(model: OnnxModel, node: NodeProto) -> None:
    fused = Wiring(model.model).constant(node.input[_WEIGHTS])
    inputs = [*node.input, "", "", "", ""]
    if fused is None or fused.ndim != 2 or inputs[_PAST]:
        raise UnknownGraph(f"the weights of {node.name or node.output[0]} are not constant")
    sizes = attribute(node, "qkv_hidden_sizes", None) or [fused.shape[1] // 3] * 3
    if sum(sizes) != fused.shape[1]:
        raise UnknownGraph(f"the weights of {node.name or node.output[0]} are not in three parts")
    parts = []
    columns = np.split(fused, np.cumsum(sizes)[:2], axis=1)
    for role, weights in zip(("query", "key", "value"), columns, strict=True):
        name = f"{node.output[0]}.{role}"
        tensor = numpy_helper.from_array(np.ascontiguousarray(weights), f"{name}.weight")
        model.model.graph.initializer.append(tensor)
        product = helper.make_node("MatMul", [node.input[0], tensor.name], [name], name=name)
        model.add_node(product)
        parts.append(name)
    kept = {name: attribute(node, name, None) for name in _KEPT}
    attention = helper.make_node(
        "MultiHeadAttention",
        [*parts, inputs[_BIAS], inputs[_MASK], inputs[_ADDED]],
        list(node.output),
        name=f"{node.output[0]}.attention",
        domain="com.microsoft",
        **{name: value for name, value in kept.items() if value is not None},
    )
    model.remove_node(node)
    model.add_node(attention)
