"""Weights of relative positions, which attention adds to its scores, looked up for rows of texts.

Within a row, two tokens of a text are as far apart as in the text alone, and those of different
texts do not attend to each other. So a row of any length needs one vector for each distance.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import helper, numpy_helper
from onnxruntime.transformers.onnx_model import OnnxModel

from models.graphs.wiring import Array, UnknownGraph, Wiring, observed

_ADDED = {"Attention": 5, "MultiHeadAttention": 5}


def pack_relative_positions(model: OnnxModel, probe: Mapping[str, Array]) -> None:
    """Compute what attention adds to its scores by distance, if it adds anything.

    `probe` is the inputs of one text of the longest length, (1, tokens). Raises UnknownGraph, the
    graph unchanged, when it is not the same for every text, or not of distances alone.
    """
    wiring = Wiring(model.model)
    readers = [
        (node, place)
        for node in model.model.graph.node
        if (place := _ADDED.get(node.op_type, len(node.input))) < len(node.input)
        and node.input[place]
    ]
    names = {node.input[place] for node, place in readers}
    if any(wiring.depends_on_inputs(name) for name in names):
        raise UnknownGraph("what it adds to its attention scores depends on the text")
    tables = {
        name: _by_distance(values)
        for name, values in observed(model.model, probe, sorted(names)).items()
    }
    for node, place in readers:
        node.input[place] = f"{node.input[place]}.row"
    for name, table in tables.items():
        _look_up(model, name, table)


def _by_distance(values: Array) -> Array:
    """Return the vectors (distances, heads) of distances -n to n; farther ones have those of n."""
    if values.ndim != 4 or len(values) != 1 or values.shape[2] != values.shape[3]:
        raise UnknownGraph("it adds to its attention scores in a way of its own")
    _, heads, tokens, _ = values.shape
    places = np.arange(tokens)
    # From a token before it, and from itself or one after it.
    table = np.concatenate([values[0, :, 1:, 0][:, ::-1], values[0, :, 0, :]], axis=1).T
    distances = places[None, :] - places[:, None]
    if not np.array_equal(values[0], table[distances + tokens - 1].transpose(2, 0, 1)):
        raise UnknownGraph("what it adds to its attention scores is not by distance")
    assert table.shape == (2 * tokens - 1, heads), "this is a bug: a distance is missing"
    middle = tokens - 1
    most = next(
        (
            most
            for most in range(middle)
            if (table[: middle - most] == table[middle - most]).all()
            and (table[middle + most :] == table[middle + most]).all()
        ),
        middle,
    )
    return np.ascontiguousarray(table[middle - most : middle + most + 1])


def _look_up(model: OnnxModel, name: str, table: Array) -> None:
    """Compute `name`.row of the shape (1, heads, tokens, tokens) for the row's length."""
    most = len(table) // 2
    graph = model.model.graph
    for constant, value in {
        "table": table,
        "zero": np.array(0, np.int64),
        "one": np.array(1, np.int64),
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "last": np.array([-1], np.int64),
        "least": np.array(-most, np.int64),
        "most": np.array(most, np.int64),
    }.items():
        graph.initializer.append(numpy_helper.from_array(value, f"{name}.{constant}"))

    def of(*parts: str) -> list[str]:
        return [f"{name}.{part}" for part in parts]

    for kind, inputs, output in (
        ("Shape", ["input_ids"], "grid"),
        ("Gather", of("grid", "one"), "tokens"),
        ("Range", of("zero", "tokens", "one"), "places"),
        ("Unsqueeze", of("places", "first"), "across"),
        ("Unsqueeze", of("places", "second"), "down"),
        ("Sub", of("across", "down"), "distances"),
        ("Clip", of("distances", "least", "most"), "near"),
        ("Add", of("near", "most"), "rows"),
        ("Unsqueeze", of("rows", "last"), "indices"),
        # Not Gather, which quantizers take for an embedding.
        ("GatherND", of("table", "indices"), "vectors"),
        ("Transpose", of("vectors"), "by_head"),
        ("Unsqueeze", of("by_head", "first"), "row"),
    ):
        extra: dict[str, Any] = {"perm": [2, 0, 1]} if kind == "Transpose" else {}
        (made,) = of(output)
        model.add_node(helper.make_node(kind, inputs, [made], name=made, **extra))
