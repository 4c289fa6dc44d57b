"""Graphs that do not load, do not answer, answer wrongly, or never come back."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROWS = 10
"""Of the embedding, as many as the tokenizer of tests/support/bundles.py has words."""
_TABLE = numpy_helper.from_array(np.arange(2.0 * ROWS, dtype=np.float32).reshape(ROWS, 2), "table")
_ONE = numpy_helper.from_array(np.array([1]), "one")
_GOOD = (
    helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
    helper.make_node("ReduceSum", ["vectors", "one"], ["logits"], keepdims=0),
)
_LENGTH = (
    helper.make_node("Shape", ["input_ids"], ["shape"]),
    helper.make_node("Gather", ["shape", "one"], ["length"]),
)


def constant(name, values, kind=np.int64):
    return numpy_helper.from_array(np.array(values, kind), name)


def graph(
    nodes, weights=(), *, output="logits", kind=TensorProto.FLOAT, shape=("batch", 2), **more
):
    made = helper.make_graph(
        nodes,
        "mutilated",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info(output, kind, shape)],
        [_TABLE, _ONE, *weights],
    )
    opsets = [helper.make_opsetid("", more.pop("opset", 17)), *more.pop("opsets", ())]
    return helper.make_model(made, opset_imports=opsets, ir_version=more.pop("ir", 9), **more)


def strings():
    best = helper.make_node("ArgMax", ["logits"], ["best"], axis=1, keepdims=0)
    names = helper.make_node(
        "LabelEncoder", ["best"], ["label"], domain="ai.onnx.ml",
        keys_int64s=[0, 1], values_strings=["negative", "positive"],
    )  # fmt: skip
    return graph(
        [*_GOOD, best, names], output="label", kind=TensorProto.STRING, shape=["batch"],
        opsets=[helper.make_opsetid("ai.onnx.ml", 3)],
    )  # fmt: skip


def nan():
    negated = helper.make_node("Neg", ["sums"], ["negated"])
    return graph([*rewired("sums"), negated, helper.make_node("Log", ["negated"], ["logits"])])


def rewired(output):
    """The good graph's nodes, whose result is called `output`."""
    summed = helper.make_node("ReduceSum", ["vectors", "one"], [output], keepdims=0)
    return [_GOOD[0], summed]


def three_labels():
    wide = constant("wide", np.ones((2, 3)), np.float32)
    return graph(
        [*rewired("sums"), helper.make_node("MatMul", ["sums", "wide"], ["logits"])],
        [wide],
        shape=("batch", 3),
    )


def one_vector_a_token():
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["logits"])]
    return graph(nodes, shape=("batch", "length", 2))


def unknown_operator():
    return graph([*rewired("sums"), helper.make_node("Frobnicate", ["sums"], ["logits"])])


def cyclic():
    add = helper.make_node("Add", ["sums", "back"], ["logits"])
    return graph([*rewired("sums"), add, helper.make_node("Neg", ["logits"], ["back"])])


def calls_itself():
    function = helper.make_function(
        "own", "Endless", ["x"], ["y"],
        [helper.make_node("Endless", ["x"], ["y"], domain="own")],
        [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
    )  # fmt: skip
    nodes = [*rewired("sums"), helper.make_node("Endless", ["sums"], ["logits"], domain="own")]
    return graph(nodes, opsets=[helper.make_opsetid("own", 1)], functions=[function])


def unknown_inputs():
    made = graph(_GOOD)
    made.graph.input[0].name = "pixels"
    made.graph.node[0].input[1] = "pixels"
    return made


def huge_constant():
    """Four terabytes, which an optimizer may try to compute in advance."""
    nodes = [
        *rewired("sums"),
        helper.make_node("ConstantOfShape", ["many"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros", "first"], ["zero"], keepdims=0),
        helper.make_node("Add", ["sums", "zero"], ["logits"]),
    ]
    return graph(nodes, [constant("many", [2**40]), constant("first", [0])])


def huge_when_long():
    """Two to the power of the text's length."""
    nodes = [
        *_LENGTH,
        *rewired("sums"),
        helper.make_node("Pow", ["two", "length"], ["many"]),
        helper.make_node("ConstantOfShape", ["many"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros", "first"], ["zero"], keepdims=0),
        helper.make_node("Add", ["sums", "zero"], ["logits"]),
    ]
    return graph(nodes, [constant("two", [2]), constant("first", [0])])


def _looped(trips):
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["still"]),
            helper.make_node("Add", ["before", "before"], ["after"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, ["batch", 2]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, ["batch", 2]),
        ],
    )
    return [*trips, helper.make_node("Loop", ["trips", "yes", "sums"], ["logits"], body=body)]


def endless():
    nodes = _looped(rewired("sums"))
    return graph(nodes, [constant("trips", 2**60), constant("yes", True, np.bool_)])


def endless_when_long():
    """Any number of turns from 32 tokens on."""
    trips = [
        *_LENGTH,
        *rewired("sums"),
        helper.make_node("Sub", ["length", "few"], ["above"]),
        helper.make_node("Max", ["above", "nothing"], ["least"]),
        helper.make_node("Mul", ["least", "many"], ["turns"]),
        helper.make_node("Squeeze", ["turns"], ["trips"]),
    ]
    weights = [
        constant("few", [31]),
        constant("nothing", [0]),
        constant("many", [2**50]),
        constant("yes", True, np.bool_),
    ]
    return graph(_looped(trips), weights)


def short_positions():
    """Positions for eight tokens."""
    nodes = [
        *_LENGTH,
        _GOOD[0],
        helper.make_node("Squeeze", ["length"], ["end"]),
        helper.make_node("Range", ["start", "end", "step"], ["positions"]),
        helper.make_node("Gather", ["places", "positions"], ["placed"]),
        helper.make_node("Add", ["vectors", "placed"], ["both"]),
        helper.make_node("ReduceSum", ["both", "one"], ["logits"], keepdims=0),
    ]
    places = constant("places", np.ones((8, 2)), np.float32)
    return graph(nodes, [constant("start", 0), constant("step", 1), places])


def one_text_a_batch():
    nodes = [*rewired("sums"), helper.make_node("Reshape", ["sums", "single"], ["logits"])]
    return graph(nodes, [constant("single", [1, 2])], shape=(1, 2))


def short_weights():
    made = graph(_GOOD)
    made.graph.initializer[0].raw_data = b"\0" * 8
    return made


def weights_elsewhere():
    made = graph(_GOOD)
    table = made.graph.initializer[0]
    table.ClearField("raw_data")
    table.data_location = TensorProto.EXTERNAL
    entry = table.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    return made


def negative_dimension():
    made = graph(_GOOD)
    made.graph.initializer[0].dims[0] = -10
    return made


GRAPHS = {
    "graph-string-output": strings,
    "graph-nan": nan,
    "graph-three-labels": three_labels,
    "graph-vector-a-token": one_vector_a_token,
    "graph-unknown-operator": unknown_operator,
    "graph-cyclic": cyclic,
    "graph-calls-itself": calls_itself,
    "graph-unknown-inputs": unknown_inputs,
    "graph-huge-constant": huge_constant,
    "graph-huge-when-long": huge_when_long,
    "graph-endless": endless,
    "graph-endless-when-long": endless_when_long,
    "graph-short-positions": short_positions,
    "graph-one-text-a-batch": one_text_a_batch,
    "graph-short-weights": short_weights,
    "graph-weights-elsewhere": weights_elsewhere,
    "graph-negative-dimension": negative_dimension,
    "graph-newer-ir": lambda: graph(_GOOD, ir=99),
    "graph-newer-opset": lambda: graph(_GOOD, opset=9999),
}


def write(name, path):
    onnx.save(GRAPHS[name](), path)
