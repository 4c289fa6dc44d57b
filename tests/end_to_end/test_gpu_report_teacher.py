"""The GPU report's teacher and its load: both come about without a build and without wrk."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from transformers import BertConfig, BertForSequenceClassification

from loadtest.measure.workload import seeded_texts
from models.graphs.fusion import fuse
from models.graphs.trace import trace
from serving.bundles.bundle import read_bundle
from serving.bundles.registry import publish
from serving.inference.engine import Resources
from serving.inference.ort_engine import OrtEngine
from serving.inference.tokenizer import open_tokenizer
from serving.settings import SHIPPED_REGISTRY
from tests.benchmarks.gpu_report import load
from tests.benchmarks.gpu_report.teacher import made
from tests.support.minilm import TINY, write_minilm

LIKE = SHIPPED_REGISTRY / "sentiment" / "medium-int8"
# Of a token's type, which the written graph has no need of.
TYPES_OF_TOKENS = Counter({"Add": 1})


@pytest.fixture
def registry(tmp_path):
    """A registry with a trained teacher in fp32 and, after `add`, others."""

    def add(precision, variant=None):
        folder = tmp_path / "made" / precision
        write_minilm(
            folder, read_bundle(LIKE), family="tone", variant=variant or f"teacher-{precision}",
            precision=precision, shape=TINY,
        )  # fmt: skip
        return publish(folder, tmp_path / "registry")

    add("fp32")
    return tmp_path / "registry", add


def logits(folder):
    bundle = read_bundle(Path(folder))
    encodings = open_tokenizer(bundle).encode(seeded_texts(16, seed=0))
    return OrtEngine(bundle, Resources("cpu", threads=1)).run(encodings)


def operators(path):
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def test_the_random_graph_has_the_operators_and_inputs_of_an_exported_one(tmp_path):
    config = BertConfig(
        vocab_size=64, hidden_size=TINY.width, num_hidden_layers=TINY.layers,
        num_attention_heads=TINY.heads, intermediate_size=TINY.units,
    )  # fmt: skip
    model = BertForSequenceClassification._from_config(config, attn_implementation="eager")
    trace(model, tmp_path / "plain.onnx")
    fuse(tmp_path / "plain.onnx", config, tmp_path / "exported.onnx")
    write_minilm(
        tmp_path / "random", read_bundle(LIKE), family="f", variant="v", precision="fp32",
        shape=TINY,
    )  # fmt: skip
    exported, random = tmp_path / "exported.onnx", tmp_path / "random" / "model.onnx"

    assert operators(random) == operators(exported) - TYPES_OF_TOKENS
    names = [{each.name for each in onnx.load(path).graph.input} for path in (random, exported)]
    assert names[0] == names[1]


def test_without_a_trained_teacher_both_precisions_are_random_and_alike(tmp_path):
    folders, origin = made(SHIPPED_REGISTRY, "tiny", tmp_path)

    assert origin == "random weights in the shape tiny"
    assert {p: read_bundle(f).manifest.precision for p, f in folders.items()} == {
        "fp32": "fp32", "fp16": "fp16",
    }  # fmt: skip
    np.testing.assert_allclose(logits(folders["fp16"]), logits(folders["fp32"]), atol=0.01)


def test_fp16_is_made_from_a_trained_teacher_without_one(registry, tmp_path):
    folder, add = registry

    folders, origin = made(folder, "minilm", tmp_path / "scratch")

    assert origin.startswith("tone/teacher-fp32 ")
    assert read_bundle(folders["fp16"]).manifest.precision == "fp16"
    random = add("fp16").folder
    assert operators(folders["fp16"] / "model.onnx") == operators(random / "model.onnx")
    np.testing.assert_allclose(logits(folders["fp16"]), logits(random), atol=1e-3)


def test_a_registrys_own_fp16_variant_is_taken(registry, tmp_path):
    folder, add = registry
    half = add("fp16", variant="teacher-half")

    folders, _ = made(folder, "minilm", tmp_path / "scratch")

    assert folders["fp16"] == half.folder


def test_without_wrk_processes_of_clients_make_the_load(server, tmp_path, monkeypatch):
    monkeypatch.setattr(load.shutil, "which", lambda _name: None)

    found = load.offer(server.url, tmp_path, ["good film"], "tiny", 3, 1)

    assert load.generator() == "tests/support/closed_loop.py"
    assert found["answered"] > 0
    assert found["bad"] == 0
    assert found["texts_per_s"] == found["answered"]
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert found["client_cores"] > 0


def test_answers_that_are_no_200_count_as_failed(server, tmp_path, monkeypatch):
    monkeypatch.setattr(load.shutil, "which", lambda _name: None)

    found = load.offer(server.url, tmp_path, ["good film"], "nowhere", 2, 1)

    assert found["answered"] == 0
    assert found["bad"] > 0
