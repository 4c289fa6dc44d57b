"""Rewrites a fused graph, before it is quantized, to read several texts a row without padding.

serving/inference/packing.py lays texts out in such rows.
"""

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.onnx_model import OnnxModel
from transformers import PretrainedConfig

# The architectures that the optimiser fuses completely, and whether they number positions from
# the padding token's id on.
PACKABLE = {
    "bert": False,
    "distilbert": False,
    "electra": False,
    "roberta": True,
    "xlm-roberta": True,
    "camembert": True,
}


def pack(model: OnnxModel, config: PretrainedConfig) -> None:
    """Make a fused graph of a PACKABLE architecture read packed rows instead of padded texts.

    Attention is masked to equal `text_ids`, so each text attends to itself alone; positions come
    from `position_ids`, and the classifier reads the `first_tokens`. A text's logits therefore do
    not depend on the others in its row (Krell et al. 2021, "Efficient sequence packing without
    cross-contamination").
    """
    graph = model.model.graph
    (counted,) = (node for node in graph.node if node.op_type == "ReduceSum")
    (positions,) = (
        node
        for node in graph.node
        if node.op_type == "Gather" and node.input[0].endswith("position_embeddings.weight")
    )
    (first,) = (node for node in graph.node if node.op_type == "Gather" and _axis(node) == 1)
    model.replace_input_of_all_nodes(counted.output[0], "packed_mask")
    offset = (config.pad_token_id + 1) if PACKABLE[config.model_type] else 0
    for name, value in (("axis_1", [1]), ("axis_2", [2]), ("first_position", offset)):
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), name))
    for kind, inputs, output in (
        ("Unsqueeze", ["text_ids", "axis_1"], "texts_down"),
        ("Unsqueeze", ["text_ids", "axis_2"], "texts_across"),
        ("Equal", ["texts_down", "texts_across"], "same_text"),
        ("Add", ["position_ids", "first_position"], "positions"),
        ("GatherND", [first.input[0], "first_tokens"], first.output[0]),
    ):
        model.add_node(helper.make_node(kind, inputs, [output], name=output))
    to_int32 = helper.make_node("Cast", ["same_text"], ["packed_mask"], to=TensorProto.INT32)
    model.add_node(to_int32)
    positions.input[1] = "positions"
    model.remove_node(first)
    (mask,) = (node for node in graph.input if node.name == "attention_mask")
    graph.input.remove(mask)
    shapes: dict[str, list[str | int | None]] = {
        "text_ids": ["rows", "tokens"],
        "position_ids": ["rows", "tokens"],
        "first_tokens": ["texts", 2],
    }
    for name, shape in shapes.items():
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.INT64, shape))
    model.prune_graph()
    model.topological_sort()


def _axis(node: Any) -> int:
    found = OnnxModel.get_node_attribute(node, "axis")
    return int(found or 0)
