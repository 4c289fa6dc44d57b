"""Rewrites a fused graph, before it is quantized, to read several texts a row without padding.

serving/inference/packing.py lays texts out in such rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.transformers.onnx_model import OnnxModel

from models.graphs.relative_positions import pack_relative_positions
from models.graphs.wiring import Array, UnknownGraph, Wiring, attribute, observed

PACKABLE = ("bert", "distilbert", "electra", "roberta", "xlm-roberta", "camembert", "mpnet")
"""The architectures of which torch's graphs are fused completely."""

_MASK_INPUTS = {"Attention": 3, "MultiHeadAttention": 4}
_PROBE_TOKENS = 6
_PAD_PLACE = 2


@dataclass(frozen=True)
class _Positions:
    """How a graph numbers positions: from `first` on; padding's is `padding`, or counts too."""

    gather: NodeProto
    first: int
    padding: int | None


def pack(model: OnnxModel, pad_token_id: int) -> None:
    """Make a fused graph read packed rows instead of padded texts.

    Attention is masked to equal `text_ids`, so each text attends to itself alone; positions come
    from `position_ids`, and the classifier reads the `first_tokens`. A text's logits therefore do
    not depend on the others in its row (Krell et al. 2021, "Efficient sequence packing without
    cross-contamination"). Raises UnknownGraph, the graph unchanged, when it is not as expected.
    """
    graph = model.model.graph
    wiring = Wiring(model.model)
    mask = _mask(model.model.graph.node)
    chosen, taken = _first_token(wiring, graph.node)
    positions, fixed = _embeddings(model, wiring, pad_token_id)
    longest = wiring.shape_of_constant(positions.gather.input[0])
    assert longest is not None, "this is a bug: positions are looked up in a table"
    ones = np.ones((1, longest[0] - positions.first), np.int64)
    text = {
        "input_ids": ones + pad_token_id, "attention_mask": ones, "token_type_ids": 0 * ones,
    }  # fmt: skip
    pack_relative_positions(model, _typed(model, text))
    for name, value in (("axis_1", [1]), ("axis_2", [2])):
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), name))
    model.replace_input_of_all_nodes(mask, "packed_mask")
    for kind, inputs, output in (
        ("Unsqueeze", ["text_ids", "axis_1"], "texts_down"),
        ("Unsqueeze", ["text_ids", "axis_2"], "texts_across"),
        ("Equal", ["texts_down", "texts_across"], "same_text"),
        ("GatherND", [chosen, "first_tokens"], taken.output[0]),
    ):
        model.add_node(helper.make_node(kind, inputs, [output], name=output))
    to_int32 = helper.make_node("Cast", ["same_text"], ["packed_mask"], to=TensorProto.INT32)
    model.add_node(to_int32)
    _number_positions(model, positions, pad_token_id)
    for node, row in fixed:
        # Its indices have one text's length, and a row may be longer.
        graph.initializer.append(numpy_helper.from_array(row, f"{node.output[0]}.row"))
        model.replace_input_of_all_nodes(node.output[0], f"{node.output[0]}.row")
    model.remove_node(taken)
    for node in graph.node:
        if node.op_type == "Shape" and node.input[0] == "attention_mask":
            node.input[0] = "input_ids"
    (padding,) = (node for node in graph.input if node.name == "attention_mask")
    graph.input.remove(padding)
    shapes: dict[str, list[str | int | None]] = {
        "text_ids": ["rows", "tokens"],
        "position_ids": ["rows", "tokens"],
        "first_tokens": ["texts", 2],
    }
    for name, shape in shapes.items():
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.INT64, shape))
    model.prune_graph()
    model.topological_sort()


def _mask(nodes: list[NodeProto]) -> str:
    """Return the tensor that masks the padding of every fused attention."""
    found = {
        node.input[_MASK_INPUTS[node.op_type]] for node in nodes if node.op_type in _MASK_INPUTS
    }
    if len(found) != 1:
        raise UnknownGraph(f"its attention layers read {len(found)} masks instead of one")
    return str(found.pop())


def _first_token(wiring: Wiring, nodes: list[NodeProto]) -> tuple[str, NodeProto]:
    """Return all tokens' vectors, and the node that takes the first of each text."""
    found = []
    for node in nodes:
        if node.op_type == "Gather" and attribute(node, "axis", 0) == 1:
            taken = wiring.constant(node.input[1])
            if taken is not None and taken.ndim == 0 and taken == 0:
                found.append((node.input[0], node))
        elif node.op_type == "Slice" and _cuts_first(wiring, node):
            readers = wiring.consumers(node.output[0])
            if len(readers) == 1 and readers[0].op_type in {"Squeeze", "Reshape"}:
                found.append((node.input[0], readers[0]))
    if len(found) != 1:
        raise UnknownGraph(f"its head reads the first token in {len(found)} places instead of one")
    return found[0]


def _cuts_first(wiring: Wiring, node: NodeProto) -> bool:
    numbers = [wiring.number(each) for each in node.input[1:]]
    return numbers[:3] == [0, 1, 1] and numbers[3:] in ([], [1])


def _embeddings(
    model: OnnxModel, wiring: Wiring, pad_token_id: int
) -> tuple[_Positions, list[tuple[NodeProto, Array]]]:
    """Tell the embeddings apart by what they look up.

    Returns that of positions, and those that look up one and the same row with that row.
    """
    graph = model.model.graph
    gathers = [
        node
        for node in graph.node
        if node.op_type == "Gather"
        and attribute(node, "axis", 0) == 0
        and len(wiring.shape_of_constant(node.input[0]) or ()) == 2
    ]
    feed = _probe(model, pad_token_id)
    indices = observed(model.model, feed, [node.input[1] for node in gathers])
    positions, fixed = [], []
    for node in gathers:
        index = indices[node.input[1]].astype(np.int64)
        if index.shape[-2:] == (_PROBE_TOKENS, _PROBE_TOKENS):
            continue  # a vector for each two tokens: what attention adds for their distance
        if index.shape[-1:] != (_PROBE_TOKENS,):
            raise UnknownGraph("it looks up vectors by something else than tokens")
        plain, padded = np.broadcast_to(index, (2, _PROBE_TOKENS))
        if np.array_equal(plain, plain[0] + np.arange(_PROBE_TOKENS)):
            positions.append(_positions(node, plain, padded))
        elif (index == index.flat[0]).all():
            table = wiring.constant(node.input[0])
            assert table is not None
            fixed.append((node, table[int(index.flat[0])][np.newaxis, np.newaxis]))
        elif not any(np.array_equal(index, each) for each in feed.values()):
            raise UnknownGraph("it looks up vectors by neither tokens, segments nor positions")
    if len(positions) != 1:
        raise UnknownGraph(f"it has {len(positions)} embeddings of positions instead of one")
    return positions[0], fixed


def _probe(model: OnnxModel, pad_token_id: int) -> dict[str, Array]:
    """Return two texts, one with a padding token in it, and segments that are no position."""
    ids = np.full((2, _PROBE_TOKENS), pad_token_id + 1 if pad_token_id < 2 else 0)
    # No position rises by two, nor stays.
    ids[:, 1::2] += 1
    ids[1, _PAD_PLACE] = pad_token_id
    segments = np.tile([0, 0, 1, 1, 0, 1], (2, 1))
    fed = {
        "input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": segments,
    }  # fmt: skip
    return _typed(model, fed)


def _typed(model: OnnxModel, fed: Mapping[str, Array]) -> dict[str, Array]:
    """What of `fed` the graph reads, in the types that it reads."""
    types = {each.name: each.type.tensor_type.elem_type for each in model.model.graph.input}
    return {
        name: value.astype(helper.tensor_dtype_to_np_dtype(types[name]))
        for name, value in fed.items()
        if name in types
    }


def _positions(node: NodeProto, plain: Array, padded: Array) -> _Positions:
    first = int(plain[0])
    if np.array_equal(plain, padded):
        return _Positions(node, first, None)
    padding = int(padded[_PAD_PLACE])
    others = np.delete(padded, _PAD_PLACE)
    if padding != first - 1 or not np.array_equal(others, plain[:-1]):
        raise UnknownGraph("it numbers positions in a way of its own")
    return _Positions(node, first, padding)


def _number_positions(model: OnnxModel, positions: _Positions, pad_token_id: int) -> None:
    """Look positions up by `position_ids`, less the padding tokens of the text before it."""
    graph = model.model.graph
    first = positions.first if positions.padding is None else positions.padding
    graph.initializer.append(numpy_helper.from_array(np.array(first, np.int64), "first_position"))
    if positions.padding is None:
        nodes = [("Add", ["position_ids", "first_position"], "positions")]
    else:
        kind = next(e for e in graph.input if e.name == "input_ids").type.tensor_type.elem_type
        dtype = helper.tensor_dtype_to_np_dtype(kind)
        for name, value in (
            ("padding_id", np.array(pad_token_id, dtype)),
            ("int64_0", np.array(0, np.int64)),
            ("int64_1", np.array(1, np.int64)),
        ):
            graph.initializer.append(numpy_helper.from_array(value, name))
        nodes = [
            ("Equal", ["input_ids", "padding_id"], "is_padding"),
            ("Not", ["is_padding"], "is_token"),
            ("Cast", ["is_token"], "counted"),
            ("CumSum", ["counted", "int64_1"], "counted_in_row"),
            ("Sub", ["counted_in_row", "counted"], "counted_before"),
            ("Shape", ["input_ids"], "grid"),
            ("Gather", ["grid", "int64_1"], "row_tokens"),
            ("Range", ["int64_0", "row_tokens", "int64_1"], "columns"),
            ("Sub", ["columns", "position_ids"], "text_starts"),
            ("GatherElements", ["counted_before", "text_starts"], "counted_in_others"),
            ("Sub", ["counted_in_row", "counted_in_others"], "counted_in_text"),
            ("Mul", ["counted_in_text", "counted"], "numbers"),
            ("Add", ["numbers", "first_position"], "positions"),
        ]
    extra: dict[str, dict[str, Any]] = {
        "Cast": {"to": TensorProto.INT64},
        "GatherElements": {"axis": 1},
    }
    for kind, inputs, output in nodes:
        model.add_node(helper.make_node(kind, inputs, [output], name=output, **extra.get(kind, {})))
    positions.gather.input[1] = "positions"
