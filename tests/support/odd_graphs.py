"""Bundles whose graphs take and answer what exporters other than our own write."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from serving.bundles.bundle import Manifest, write_manifest
from tests.support.bundles import VOCABULARY, WEIGHTS, write_bundle

PADDED = ("input_ids", "attention_mask")
_TABLES = {1: [1.0], 2: [-1.0, 1.0], 3: [-1.0, 0.25, 1.0]}


def write_odd_bundle(
    folder: Path,
    *,
    labels: tuple[str, ...] = ("negative", "positive"),
    inputs: tuple[str, ...] = PADDED,
    kind: int = TensorProto.INT64,
    batch: str | int = "batch",
    tokens: str | int = "length",
    answer: str = "logits",
    others: tuple[str, ...] = (),
    ends_in: str | None = None,
    tokenizer: str | None = None,
    **fields: object,
) -> Manifest:
    """A bag of words whose logits are `expected`.

    The graph answers `others` (class, name, hidden) before `answer`. It `ends_in` Softmax or
    Sigmoid. `tokenizer` is the content of another tokenizer.json.
    """
    write_bundle(folder)
    onnx.save(_graph(labels, inputs, kind, (batch, tokens), answer, others, ends_in),
              folder / "model.onnx")  # fmt: skip
    if tokenizer:
        (folder / "tokenizer.json").write_text(tokenizer)
    config = {"id2label": {str(index): label for index, label in enumerate(labels)}}
    (folder / "config.json").write_text(json.dumps(config))
    described: dict[str, object] = {
        "family": "odd", "variant": "v", "labels": list(labels), "problem_type": "single_label",
        "max_length": 16, "pad_token_id": 0, "precision": "fp32", "parameters": 1,
    }  # fmt: skip
    return write_manifest(folder, **(described | fields))


def write_reranker(folder: Path, family: str = "passages", **fields: object) -> Manifest:
    """A bag of words with one label for pairs; those of the second text count the other way."""
    return write_odd_bundle(
        folder, family=family, inputs=(*PADDED, "token_type_ids"), pairs=True,
        **{"labels": ("relevant",), "variant": "tiny"} | fields,
    )  # fmt: skip


def expected(ids: list[int], labels: int = 2, *, positions: bool = False) -> list[float]:
    """The logits of a text; with `positions` each token counts one more than its position."""
    total = sum(
        WEIGHTS.get(VOCABULARY[token], 0.0) * (1 + place if positions else 1)
        for place, token in enumerate(ids)
    )
    return [total * factor for factor in _TABLES[labels]]


def _graph(labels, inputs, kind, shape, answer, others, ends_in):  # noqa: PLR0917
    count = len(labels)
    table = np.zeros((len(VOCABULARY) + 2, count), np.float32)  # two pieces of words more
    for word, weight in WEIGHTS.items():
        table[VOCABULARY.index(word)] = np.multiply(_TABLES[count], weight)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["kept0"])]
    factors = [name for name in inputs if name != "input_ids"]
    for number, name in enumerate(factors):
        nodes += [
            helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", [f"{name}_float", "last"], [f"{name}_column"]),
        ]
        column = f"{name}_column"
        if name == "position_ids":
            nodes.append(helper.make_node("Add", [column, "one"], ["place"]))
            column = "place"
        if name == "token_type_ids":
            nodes += [
                helper.make_node("Mul", [column, "two"], ["twice"]),
                helper.make_node("Sub", ["one", "twice"], ["sign"]),
            ]
            column = "sign"
        nodes.append(helper.make_node("Mul", [f"kept{number}", column], [f"kept{number + 1}"]))
    hidden = f"kept{len(factors)}"
    summed = "summed" if ends_in else answer
    nodes.append(helper.make_node("ReduceSum", [hidden, "words"], [summed], keepdims=0))
    if ends_in:
        nodes.append(helper.make_node(ends_in, [summed], [answer]))
    made = {
        "class": helper.make_node("ArgMax", [answer], ["class"], axis=1, keepdims=0),
        "hidden": helper.make_node("Identity", [hidden], ["hidden"]),
        "again": helper.make_node("Identity", [answer], ["again"]),
        "name": helper.make_node(
            "LabelEncoder", ["best"], ["name"], domain="ai.onnx.ml",
            keys_int64s=list(range(count)), values_strings=list(labels),
        ),
    }  # fmt: skip
    nodes += [made[name] for name in others if name != "name"]
    if "name" in others:
        nodes += [
            helper.make_node("ArgMax", [answer], ["best"], axis=1, keepdims=0),
            made["name"],
        ]
    rows = shape[0]
    described = {
        "class": (TensorProto.INT64, [rows]),
        "name": (TensorProto.STRING, [rows]),
        "hidden": (TensorProto.FLOAT, [*shape, count]),
        "again": (TensorProto.FLOAT, [rows, count]),
        answer: (TensorProto.FLOAT, [rows, count]),
    }
    graph = helper.make_graph(
        nodes,
        "odd",
        [helper.make_tensor_value_info(name, kind, shape) for name in inputs],
        [
            helper.make_tensor_value_info(name, *described[name])
            for name in (*others, *([answer] if answer else []))
        ],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array([-1]), "last"),
            numpy_helper.from_array(np.array([1]), "words"),
            numpy_helper.from_array(np.array([1], np.float32), "one"),
            numpy_helper.from_array(np.array([2], np.float32), "two"),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)
