"""A randomly initialised classifier in the shape of MiniLM-L6: the graph that `export` writes.

It needs neither PyTorch nor a download, so it also comes about on a host without both.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from serving.bundles.bundle import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME, Bundle, write_manifest

_TYPES = {"fp32": (np.float32, TensorProto.FLOAT), "fp16": (np.float16, TensorProto.FLOAT16)}
_EPSILON = 1e-12


@dataclass(frozen=True)
class Shape:
    words: int
    positions: int
    width: int
    layers: int
    heads: int
    units: int


MINILM = Shape(words=30_522, positions=512, width=384, layers=6, heads=12, units=1536)
TINY = Shape(words=30_522, positions=512, width=32, layers=2, heads=2, units=64)


def write_minilm(folder, like, *, family, variant, precision, shape=MINILM):
    """A bundle with the tokenizer and the labels of the bundle `like`; equal each time."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (TOKENIZER_NAME, CONFIG_NAME):
        shutil.copyfile(like.folder / name, folder / name)
    graph = _Graph(shape, precision)
    onnx.save(graph.model(len(like.manifest.labels)), folder / MODEL_NAME)
    manifest = write_manifest(
        folder,
        family=family,
        variant=variant,
        labels=like.manifest.labels,
        problem_type=like.manifest.problem_type,
        max_length=min(like.manifest.max_length, shape.positions),
        pad_token_id=like.manifest.pad_token_id,
        precision=precision,
        parameters=graph.parameters,
    )
    return Bundle(Path(folder), manifest)


class _Graph:
    """Nodes and weights, each node named for its output."""

    def __init__(self, shape, precision):
        self._shape = shape
        self._number, self._tensor = _TYPES[precision]
        self._random = np.random.default_rng(0)
        self._nodes, self._weights = [], []
        self.parameters = 0

    def model(self, labels):
        for name, value in (("axis_1", [1]), ("axis_2", [2]), ("first_position", 0)):
            self._weights.append(numpy_helper.from_array(np.array(value, np.int64), name))
        hidden = self._embedded()
        for layer in range(self._shape.layers):
            hidden = self._layer(hidden, f"layer.{layer}")
        first = self._node("GatherND", [hidden, "first_tokens"], "first")
        width = self._shape.width
        pooled = self._node("Tanh", [self._gemm(first, "pooler", width, width)], "pooled")
        if self._tensor == TensorProto.FLOAT:
            self._gemm(pooled, "logits", labels, width)
        else:
            half = self._gemm(pooled, "half_logits", labels, width)
            self._node("Cast", [half], "logits", to=TensorProto.FLOAT)
        shapes = {
            "input_ids": ["rows", "tokens"], "text_ids": ["rows", "tokens"],
            "position_ids": ["rows", "tokens"], "first_tokens": ["texts", 2],
        }  # fmt: skip
        graph = helper.make_graph(
            self._nodes,
            "minilm",
            [helper.make_tensor_value_info(n, TensorProto.INT64, s) for n, s in shapes.items()],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["texts", labels])],
            self._weights,
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def _embedded(self):
        shape = self._shape
        words = self._weight("words", shape.words, shape.width)
        positions = self._weight("positions", shape.positions, shape.width)
        self._node("Unsqueeze", ["text_ids", "axis_1"], "texts_down")
        self._node("Unsqueeze", ["text_ids", "axis_2"], "texts_across")
        self._node("Equal", ["texts_down", "texts_across"], "same_text")
        self._node("Cast", ["same_text"], "packed_mask", to=TensorProto.INT32)
        self._node("Add", ["position_ids", "first_position"], "positions_of")
        summed = self._node("Add", [
            self._node("Gather", [words, "input_ids"], "words_of"),
            self._node("Gather", [positions, "positions_of"], "places_of"),
        ], "summed")  # fmt: skip
        return self._node(
            "LayerNormalization", [summed, *self._norm("embedded")], "embedded",
            axis=-1, epsilon=_EPSILON,
        )  # fmt: skip

    def _layer(self, hidden, name):
        width, units = self._shape.width, self._shape.units
        matrix = self._weight(f"{name}.qkv", width, 3 * width)
        bias = self._weight(f"{name}.qkv.bias", 3 * width)
        attended = self._fused(
            "Attention", [hidden, matrix, bias, "packed_mask"], f"{name}.attention",
            num_heads=self._shape.heads,
        )  # fmt: skip
        mixed = self._added(attended, hidden, f"{name}.mixed", width)
        wide = self._matmul(mixed, f"{name}.wide", width, units)
        active = self._fused(
            "BiasGelu", [wide, self._weight(f"{name}.wide.bias", units)], f"{name}.active"
        )
        return self._added(active, mixed, f"{name}.output", units)

    def _added(self, inner, skipped, name, inputs):
        """`skipped` plus a linear layer of `inner`, normalised."""
        width = self._shape.width
        linear = self._matmul(inner, f"{name}.linear", inputs, width)
        bias = self._weight(f"{name}.bias", width)
        return self._fused(
            "SkipLayerNormalization", [linear, skipped, *self._norm(name), bias], name,
            epsilon=_EPSILON,
        )  # fmt: skip

    def _matmul(self, left, name, inputs, outputs):
        return self._node("MatMul", [left, self._weight(f"{name}.matrix", inputs, outputs)], name)

    def _gemm(self, left, name, outputs, inputs):
        weights = self._weight(f"{name}.matrix", outputs, inputs)
        return self._node(
            "Gemm", [left, weights, self._weight(f"{name}.bias", outputs)], name, transB=1
        )

    def _norm(self, name):
        scale = self._weight(f"{name}.scale", self._shape.width, around=1.0)
        return scale, self._weight(f"{name}.shift", self._shape.width)

    def _weight(self, name, *dimensions, around=0.0):
        spread = 0.5 / np.sqrt(dimensions[0]) if len(dimensions) == 2 else 0.02
        if name in {"words", "positions"}:
            spread = 0.05
        value = around + spread * self._random.standard_normal(dimensions, np.float32)
        self._weights.append(numpy_helper.from_array(value.astype(self._number), name))
        self.parameters += value.size
        return name

    def _fused(self, kind, inputs, output, **attributes):
        return self._node(kind, inputs, output, domain="com.microsoft", **attributes)

    def _node(self, kind, inputs, output, **attributes):
        self._nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output
