"""Tiny real bundles for the tests: a bag-of-words ONNX graph, so that no torch is needed."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from serving.bundles.bundle import BundleFile, Manifest, Precision, read_bundle, write_manifest
from serving.bundles.evaluation import Agreement, Evaluation
from serving.bundles.registry import publish
from serving.bundles.tensor_input import TensorInput
from serving.inference.inputs import Encoding

LABELS = ["negative", "positive"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "great", "awful", "film", "plot"]
WEIGHTS = {"good": 1.0, "great": 2.0, "bad": -1.0, "awful": -2.0}


def evaluation(accuracy: float) -> Evaluation:
    """An evaluation with the given accuracy; the other figures are plausible constants."""
    around = {"value": accuracy, "low": accuracy - 0.02, "high": min(1.0, accuracy + 0.02)}
    return Evaluation.model_validate(
        {
            "split_sha256": "0" * 64,
            "n": 1000,
            "accuracy": around,
            "macro_f1": around,
            "expected_calibration_error": {"value": 0.03, "low": 0.01, "high": 0.05},
        }
    )


def encoded(*texts: list[int]) -> list[Encoding]:
    """Texts of these token ids, whole."""
    return [Encoding(ids, len(ids)) for ids in texts]


def manifest_of(
    variant: str,
    size: int,
    accuracy: float | None,
    precision: Precision = "fp32",
    agreement: Agreement | None = None,
) -> Manifest:
    """What policies look at, without files."""
    return Manifest.model_construct(
        family="f",
        variant=variant,
        bytes=size,
        precision=precision,
        agreement=agreement,
        files={"model.onnx": BundleFile(sha256="0" * 64, bytes=size)},
        evaluations={} if accuracy is None else {"test": evaluation(accuracy)},
    )


def write_bundle(
    folder: Path,
    *,
    family: str = "tone",
    variant: str = "tiny",
    scale: float = 1.0,
    ballast_bytes: int = 0,
    slow: bool = False,
    max_length: int = 32,
    accuracy: float = 0.9,
    problem_type: str = "single_label",
    pairs: bool = False,
) -> Manifest:
    """A bundle whose logits are `scale` times (-w, +w), w being the sum of the words' weights.

    Of a pair the words of the second text count the other way. A `slow` one takes several times as
    long, and says the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(_graph(scale, ballast_bytes, pairs=pairs, slow=slow), folder / "model.onnx")
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"id2label": {str(i): label for i, label in enumerate(LABELS)}, "pad_token_id": 0}
    (folder / "config.json").write_text(json.dumps(config))
    return write_manifest(
        folder,
        family=family,
        variant=variant,
        labels=LABELS,
        problem_type=problem_type,
        max_length=max_length,
        pairs=pairs,
        pad_token_id=0,
        precision="fp32",
        parameters=2 * len(VOCABULARY),
        evaluations={"test": evaluation(accuracy)},
    )


def alter(source: Path, folder: Path, **fields: object) -> Path:
    """A copy of a bundle in `folder`, with these fields of its manifest."""
    shutil.copytree(source, folder)
    kept = dict(read_bundle(source).manifest) | fields
    for computed in ("version", "bytes", "files"):
        del kept[computed]
    write_manifest(folder, **kept)
    return folder


def write_registry(folder: Path, scratch: Path) -> Path:
    """A registry with one family of two variants: `tiny` and the more accurate, larger `wide`."""
    write_bundle(scratch / "tiny", variant="tiny", accuracy=0.85)
    publish(scratch / "tiny", folder)
    write_bundle(
        scratch / "wide", variant="wide", scale=2.5, ballast_bytes=1000, slow=True, accuracy=0.9
    )
    publish(scratch / "wide", folder)
    return folder


def write_families(source: Path, count: int, folder: Path) -> Path:
    """A registry of `count` copies of a bundle, in the families family0, family1 and so on."""
    for number in range(count):
        made = alter(source, folder / f"made{number}", family=f"family{number}")
        publish(made, folder / "registry")
    return folder / "registry"


def write_tensor_bundle(folder: Path, *, family: str = "digits", tensor: str = "x") -> Manifest:
    """A bundle that reads rows of three numbers x; its logits are x0 - x1, x1 - x2, x2 - x0."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = np.array([[1, 0, -1], [-1, 1, 0], [0, -1, 1]], dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["logits"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(weights, "weights")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "model.onnx")
    labels = ["zero", "one", "two"]
    config = {"id2label": {str(i): label for i, label in enumerate(labels)}}
    (folder / "config.json").write_text(json.dumps(config))
    return write_manifest(
        folder,
        family=family,
        variant="mlp",
        labels=labels,
        problem_type="single_label",
        max_length=1,
        tensors=[TensorInput(name=tensor, datatype="FP32", shape=[3])],
        pad_token_id=0,
        precision="fp32",
        parameters=9,
    )


def _graph(scale: float, ballast_bytes: int, *, pairs: bool, slow: bool) -> onnx.ModelProto:
    table = np.zeros((len(VOCABULARY), 2), dtype=np.float32)
    for word, weight in WEIGHTS.items():
        table[VOCABULARY.index(word)] = (-weight * scale, weight * scale)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["vectors", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "words"], ["logits"], keepdims=0),
    ]
    inputs = ["input_ids", "attention_mask"]
    if pairs:
        inputs.append("token_type_ids")
        nodes[0] = helper.make_node("Gather", ["table", "input_ids"], ["unsigned"])
        nodes[1:1] = [
            helper.make_node("Gather", ["signs", "token_type_ids"], ["sign"]),
            helper.make_node("Unsqueeze", ["sign", "last"], ["signed"]),
            helper.make_node("Mul", ["unsigned", "signed"], ["vectors"]),
        ]
    if slow:
        nodes[-1].output[0] = "summed"
        nodes += [
            helper.make_node("MatMul", ["kept", "widen"], ["wider"]),
            helper.make_node("MatMul", ["wider", "square"], ["squared"]),
            helper.make_node("ReduceSum", ["squared", "axes"], ["nothing"], keepdims=0),
            helper.make_node("Unsqueeze", ["nothing", "last"], ["nothings"]),
            helper.make_node("Add", ["summed", "nothings"], ["logits"]),
        ]
    shape = ["batch", "length"]
    graph = helper.make_graph(
        nodes,
        "bag-of-words",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in inputs],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array([1, -1], dtype=np.float32), "signs"),
            numpy_helper.from_array(np.array([-1]), "last"),
            numpy_helper.from_array(np.array([1]), "words"),
            *(_slowing() if slow else ()),
        ],
        doc_string="x" * ballast_bytes,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _slowing(width: int = 128) -> list[onnx.TensorProto]:
    """Weights that give 0, whatever the words."""
    return [
        numpy_helper.from_array(np.ones((2, width), dtype=np.float32), "widen"),
        numpy_helper.from_array(np.zeros((width, width), dtype=np.float32), "square"),
        numpy_helper.from_array(np.array([1, 2]), "axes"),
    ]
