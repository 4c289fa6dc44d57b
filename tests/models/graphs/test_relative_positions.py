import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.onnx_model import OnnxModel

from models.graphs.relative_positions import pack_relative_positions
from models.graphs.wiring import UnknownGraph, observed

TOKENS, HEADS = 12, 2
PROBE = {"input_ids": np.ones((1, TOKENS), np.int64)}


def graph(added, *, by_text=False):
    """Two attentions to whose scores the constant `added` is added, as an exporter leaves it."""
    nodes = [
        helper.make_node("Identity", ["constant"], ["added"]),
        helper.make_node("Gather", ["words", "input_ids"], ["states"]),
    ]
    if by_text:
        nodes[0] = helper.make_node("Cast", ["input_ids"], ["as_float"], to=TensorProto.FLOAT)
        nodes.append(helper.make_node("Unsqueeze", ["as_float", "axes"], ["added"]))
    for number, (read, written) in enumerate((("states", "middle"), ("middle", "last"))):
        nodes.append(
            helper.make_node(
                "Attention", [read, "weights", "bias", "", "", "added"], [written],
                name=f"attention.{number}", domain="com.microsoft", num_heads=HEADS,
            )
        )  # fmt: skip
    random = np.random.default_rng(0)
    weights = {
        "constant": added.astype(np.float32),
        "axes": np.array([1, 2], np.int64),
        "words": random.normal(size=(9, 8)).astype(np.float32),
        "weights": random.normal(size=(8, 24)).astype(np.float32),
        "bias": np.zeros(24, np.float32),
    }
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "graph",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["rows", "tokens"])],
            [helper.make_tensor_value_info("last", TensorProto.FLOAT, ["rows", "tokens", 8])],
            [numpy_helper.from_array(value, name) for name, value in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
        ir_version=10,
    )
    return OnnxModel(model)


def by_distance(farthest):
    """What is added for the distance of two tokens, the same from `farthest` on."""
    table = np.random.default_rng(1).normal(size=(2 * farthest + 1, HEADS))
    places = np.arange(TOKENS)
    near = np.clip(places[None] - places[:, None], -farthest, farthest)
    return table[near + farthest].transpose(2, 0, 1)[None]


@pytest.mark.parametrize("farthest", [1, 4, TOKENS - 1])
def test_attention_answers_as_before_and_distances_that_count_alike_are_one(farthest):
    model = graph(by_distance(farthest))
    (before,) = observed(model.model, PROBE, ["last"]).values()

    pack_relative_positions(model, PROBE)
    model.prune_graph()
    model.topological_sort()

    onnx.checker.check_model(model.model)
    (after,) = observed(model.model, PROBE, ["last"]).values()
    torch.testing.assert_close(after, before)
    tables = {each.name: list(each.dims) for each in model.model.graph.initializer}
    assert tables["added.table"] == [2 * farthest + 1, HEADS]
    assert "constant" not in tables


def test_rows_may_be_longer_than_any_text():
    model = graph(by_distance(3))

    pack_relative_positions(model, PROBE)
    model.topological_sort()

    longer = {"input_ids": np.ones((2, 5 * TOKENS), np.int64)}
    found = observed(model.model, longer, ["added.row"])["added.row"]
    assert found.shape == (1, HEADS, 5 * TOKENS, 5 * TOKENS)
    torch.testing.assert_close(found[..., :TOKENS, :TOKENS], by_distance(3).astype(np.float32))
    torch.testing.assert_close(found[..., TOKENS:, TOKENS:], found[..., :-TOKENS, :-TOKENS])


@pytest.mark.parametrize("what", ["places", "text"])
def test_what_is_not_of_distances_alone_is_refused_and_the_graph_stays(what):
    added = by_distance(4)
    added[0, 1, 5, 7] += 1
    model = graph(added, by_text=what == "text")
    before = model.model.SerializeToString()
    reason = {"places": "not by distance", "text": "depends on the text"}[what]

    with pytest.raises(UnknownGraph, match=reason):
        pack_relative_positions(model, PROBE)

    assert model.model.SerializeToString() == before
