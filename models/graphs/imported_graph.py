"""Fuses and packs a foreign graph where that is right and faster, without torch and transformers.

What the rewrites assume is not believed: the result's logits are compared with the original's on
probe texts, and both are timed. Only attention is fused, since ONNX Runtime itself fuses the other
operators when it loads a graph.
"""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto
from onnxruntime.transformers.onnx_model import OnnxModel

from models.graphs.attention_fusion import fuse_attention
from models.graphs.packing import pack
from models.graphs.wiring import Array, UnknownGraph, Wiring
from serving.bundles.bundle import MODEL_NAME, Bundle
from serving.bundles.graph_traits import external_files, logits_of
from serving.bundles.onnx_file import read_outline
from serving.inference.engine import Engine, Logits, Resources
from serving.inference.inputs import Encoding
from serving.inference.ort_engine import OrtEngine

# ONNX Runtime cannot write larger ones into one file.
_MAX_BYTES = 2**31
# Where axes became inputs, as the rewrites write them.
_MIN_OPSET = 13
_SEVERITY_FATAL = 4
_QUANTIZED = {"MatMulInteger", "DynamicQuantizeLinear", "QuantizeLinear", "DequantizeLinear"}
_FUSED_ATTENTION = {"Attention", "MultiHeadAttention"}
_TOLERANCE = 1e-4
"""How far a logit may move, of 1 or of the largest logit if that is larger."""
_FASTER = 1.05
"""The least ratio of speeds that is not noise."""
_LENGTHS = (1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 28, 40, 64)
_TIMED_TEXTS = 64
_TIMED_BATCH = 16
_TYPICAL_TOKENS = 24
_ROUNDS = 5

Ratio = Callable[[Engine, Engine, Sequence[Sequence[Encoding]]], float]


@dataclass(frozen=True)
class Optimized:
    """The graph to serve, and a sentence that says what was done to it or why nothing was."""

    path: Path
    done: str


def speed_ratio(original: Engine, result: Engine, batches: Sequence[Sequence[Encoding]]) -> float:
    """Return how many times as many texts a second of CPU `result` answers, the median of rounds.

    Both engines run on the calling thread alone, so other work on the machine counts little.
    """
    ratios = []
    for _ in range(_ROUNDS):
        took = []
        for engine in (original, result):
            began = time.thread_time()
            for batch in batches:
                engine.run(batch)
            took.append(time.thread_time() - began)
        ratios.append(took[0] / took[1])
    return statistics.median(ratios)


def optimized(bundle: Bundle, scratch: Path, *, ratio: Ratio = speed_ratio) -> Optimized:
    """Fuse and pack the graph of a text classifier into `scratch`, if it gains by it.

    Of the bundle's manifest it reads labels, max_length and pad_token_id. The path returned is
    the bundle's own graph, unchanged, where its form is unknown, the result's logits differ from
    the original's on probe texts, or the result is not faster.
    """
    try:
        model = _simplified(
            bundle.model_path, scratch / "simplified.onnx", len(bundle.manifest.labels)
        )
        probes = _probes(bundle, *_vocabulary(model.model))
        original = _engine(bundle)
        expected = np.concatenate([original.run([each]) for each in probes])
        result, reason = _rewritten(bundle, model, scratch)
        difference = _difference(_engine(result), probes, expected)
        allowed = _TOLERANCE * max(1.0, float(np.abs(expected).max()))
        # Where all texts are answered alike, a wrong graph is within any tolerance.
        allowed = min(allowed, float(np.ptp(expected, axis=0).max()) / 10)
        if not difference <= allowed:
            raise UnknownGraph(
                f"the logits of the fused graph differ by {difference:.1e} on probe texts, more "
                f"than the tolerance {allowed:.1e}"
            )
        gain = ratio(original, _engine(result), _timed(bundle, probes))
    except Exception as error:  # noqa: BLE001  the original serves, whatever a rewrite stumbles on
        why = str(error) or type(error).__name__
        return Optimized(bundle.model_path, f"The graph is left as it is: {why}.")
    if gain < _FASTER:
        return Optimized(
            bundle.model_path,
            f"The graph is left as it is: fused, it answers {gain:.2f} times the texts/s.",
        )
    how = f"fused, but texts are padded, since {reason}" if reason else "fused and packed"
    return Optimized(
        result.model_path,
        f"The graph is {how}: {gain:.1f} times the texts/s; logits differ by at most "
        f"{difference:.0e}.",
    )


def _simplified(source: Path, target: Path, labels: int) -> OnnxModel:
    """Return the graph with its constants folded and one output, as the rewrites expect it."""
    outline = read_outline(source)
    files = (source, *external_files(outline).values())
    # Asked of the files, since protobuf cannot tell the size of such a message.
    if sum(file.stat().st_size for file in files) >= _MAX_BYTES:
        raise UnknownGraph("it has 2 GB or more")
    original = onnx.load(source)
    _check_form(original)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = _SEVERITY_FATAL
    try:
        onnxruntime.InferenceSession(
            # Not the file, since the result would look for weights in files beside itself.
            original.SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
            # One would hide linear layers, the other splits no constant in two.
            disabled_optimizers=["MatMulAddFusion", "ConstantSharing"],
        )
    except Exception as error:  # onnxruntime raises many bare types
        raise UnknownGraph(f"ONNX Runtime cannot load it: {error}") from error
    simplified = onnx.load(target)
    outputs = simplified.graph.output
    name = logits_of(outline, labels).name
    kept = next(each for each in outputs if each.name == name)
    del outputs[:]
    outputs.append(kept)
    model = OnnxModel(simplified)
    model.prune_graph()
    return model


def _check_form(model: onnx.ModelProto) -> None:
    """Raise UnknownGraph for a graph that is clearly not a padded, unfused encoder of text."""
    graph = model.graph
    weights = {each.name for each in graph.initializer}
    inputs = {each.name: each for each in graph.input if each.name not in weights}
    if not {"input_ids", "attention_mask"} <= set(inputs):
        raise UnknownGraph("it does not read input_ids and attention_mask")
    others = set(inputs) - {"input_ids", "attention_mask", "token_type_ids"}
    if others:
        raise UnknownGraph(f"it also reads {', '.join(sorted(others))}")
    for name, each in inputs.items():
        if any(axis.HasField("dim_value") for axis in each.type.tensor_type.shape.dim):
            raise UnknownGraph(f"{name} has a fixed size")
    operators = Counter(node.op_type for node in graph.node)
    if _QUANTIZED & set(operators):
        raise UnknownGraph("it is quantized")
    if "EmbedLayerNormalization" in operators:
        raise UnknownGraph("its embeddings are fused already")
    opset = max(each.version for each in model.opset_import if each.domain in {"", "ai.onnx"})
    if opset < _MIN_OPSET:
        raise UnknownGraph(f"it is of opset {opset}, older than {_MIN_OPSET}")
    halves = {TensorProto.FLOAT16, TensorProto.BFLOAT16}
    if halves & {each.data_type for each in graph.initializer}:
        raise UnknownGraph("its weights have 16 bits; import the fp32 graph to have it fused")


def _rewritten(bundle: Bundle, model: OnnxModel, scratch: Path) -> tuple[Bundle, str]:
    """Return the fused graph, and why it is not packed if it is not."""
    zeros = np.zeros((2, 4), np.int64)
    types = {each.name: each.type.tensor_type.elem_type for each in model.model.graph.input}
    feed: dict[str, Array] = {
        name: (zeros + (name == "attention_mask")).astype(
            onnx.helper.tensor_dtype_to_np_dtype(kind)
        )
        for name, kind in types.items()
    }
    fused = any(node.op_type in _FUSED_ATTENTION for node in model.model.graph.node)
    if not fused:
        fuse_attention(model, feed)
    reason = ""
    try:
        pack(model, bundle.manifest.pad_token_id)
    except UnknownGraph as error:
        if fused:
            raise
        reason = str(error)
    result = Bundle(scratch / "fused", bundle.manifest)
    result.folder.mkdir()
    onnx.save(model.model, result.folder / MODEL_NAME)
    return result, reason


def _engine(bundle: Bundle) -> OrtEngine:
    return OrtEngine(bundle, Resources("cpu", threads=1))


def _vocabulary(model: onnx.ModelProto) -> tuple[int, int]:
    """Return how many tokens and how many segments the graph's embeddings know."""
    wiring = Wiring(model)
    rows = {"input_ids": 0, "token_type_ids": 1}
    for node in model.graph.node:
        shape = wiring.shape_of_constant(node.input[0]) if node.op_type == "Gather" else None
        if shape and node.input[1] in rows:
            rows[node.input[1]] = shape[0]
    if not rows["input_ids"]:
        raise UnknownGraph("it looks up no vectors by input_ids")
    return rows["input_ids"], rows["token_type_ids"]


def _probes(bundle: Bundle, words: int, segments: int) -> list[Encoding]:
    """Return texts of any tokens in mixed lengths up to max_length, in two segments if it can."""
    chosen = np.random.default_rng(0)
    longest = bundle.manifest.max_length
    return [
        Encoding(
            chosen.integers(0, words, length).tolist(),
            length,
            [int(segments > 1 and place > length // 2) for place in range(length)],
        )
        for length in sorted({min(each, longest) for each in _LENGTHS} | {longest})
    ]


def _difference(engine: OrtEngine, texts: Sequence[Encoding], expected: Logits) -> float:
    """Return the largest difference of a logit, alone, in rows of their own and in shared rows."""
    alone = np.concatenate([engine.run([each]) for each in texts])
    # Without the longest text, several of the others share a row.
    together = [engine.run(texts), engine.unpacked().run(texts)]
    short = engine.run(texts[:-1])
    found = [np.abs(each - expected).max() for each in (alone, *together)]
    return float(max(*found, np.abs(short - expected[:-1]).max(initial=0)))


def _timed(bundle: Bundle, probes: Sequence[Encoding]) -> list[list[Encoding]]:
    """Return batches of mixed lengths, as they arrive."""
    chosen = np.random.default_rng(0)
    longest = bundle.manifest.max_length
    tokens = [token for each in probes for token in each.ids]
    lengths = np.clip(chosen.lognormal(np.log(_TYPICAL_TOKENS), 0.6, _TIMED_TEXTS), 2, longest)
    texts = [
        Encoding(chosen.choice(tokens, int(length)).tolist(), int(length)) for length in lengths
    ]
    return [texts[start : start + _TIMED_BATCH] for start in range(0, len(texts), _TIMED_BATCH)]
