import subprocess
import sys
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import onnx
import openvino
import pytest
import torch
from onnx import numpy_helper
from onnxruntime.quantization import quantize_dynamic
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.onnx_model import OnnxModel
from transformers import AlbertConfig, RobertaConfig

from models.__main__ import main
from models.graphs.imported_graph import optimized
from models.graphs.packing import pack
from models.training.loop import padded
from serving.bundles.bundle import Bundle, Manifest
from serving.inference.engine import Resources
from serving.inference.openvino_engine import OpenVinoEngine
from serving.inference.ort_engine import OrtEngine
from tests.support.bundles import encoded
from tests.support.exporters import export, tiny_model
from tests.support.tiny_architectures import ARCHITECTURES, write_classifier

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate
LABELS = ["dull", "fair", "fine"]
MANIFEST = Manifest.model_construct(
    labels=LABELS, problem_type="single_label", max_length=64, pad_token_id=1, files={}
)
PACKED = ["first_tokens", "input_ids", "position_ids", "text_ids"]
# The last has padding tokens inside, as the text "a <pad> b" has.
TEXTS = [[0, 5, 2], [0, 7, 8, 9, 10, 11, 2], [0, *range(4, 24), 2], [0, 5, 1, 6, 1, 1, 7, 2]]
WITHOUT_TORCH = """
import sys
from pathlib import Path

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refusing())
from models.__main__ import main
from models.graphs.imported_graph import optimized
from serving.bundles.bundle import Bundle, Manifest
known = dict(labels=["dull", "fair", "fine"], problem_type="single_label", max_length=64)
manifest = Manifest.model_construct(**known, pad_token_id=1, files={})
print(optimized(Bundle(Path(sys.argv[1]), manifest), Path(sys.argv[2]), ratio=lambda *_: 2.0).done)
"""


def twice_as_fast(*_):
    return 2.0


def bundle_of(model, folder, *, dynamo=False, opset=17, segments=False):
    folder.mkdir()
    export(model, folder / "model.onnx", dynamo=dynamo, opset=opset, segments=segments)
    return Bundle(folder, MANIFEST)


def operators(path):
    return [node.op_type for node in onnx.load(path).graph.node]


def inputs(path):
    return sorted(each.name for each in onnx.load(path).graph.input)


def assert_left(bundle, folder, reason, *, ratio=twice_as_fast):
    before = bundle.model_path.read_bytes()
    found = optimized(bundle, folder, ratio=ratio)

    assert found.path == bundle.model_path
    assert reason in found.done
    assert bundle.model_path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "attention", "dynamo", "opset"),
    [
        ("bert", "eager", False, 14),
        ("bert", "sdpa", True, 18),
        ("distilbert", "sdpa", False, 17),
        ("electra", "eager", False, 17),
        ("mpnet", "eager", False, 17),
        ("mpnet", "eager", True, 18),
        ("roberta", "eager", False, 14),
        ("roberta", "sdpa", True, 18),
        ("xlm-roberta", "sdpa", False, 17),
    ],
)
def test_graphs_of_each_exporter_are_packed_and_answer_as_torch_does(
    name, attention, dynamo, opset, tmp_path
):
    model = tiny_model(deepcopy(ARCHITECTURES[name]), attention=attention)
    bundle = bundle_of(model, tmp_path / "original", dynamo=dynamo, opset=opset)

    found = optimized(bundle, tmp_path, ratio=twice_as_fast)

    assert "fused and packed" in found.done
    assert operators(found.path).count("Attention") == 2
    assert inputs(found.path) == PACKED
    with torch.inference_mode():
        expected = torch.cat([model(**padded([ids])).logits for ids in TEXTS]).numpy()
    bf16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for make, tolerance in ((OrtEngine, 2e-5), (OpenVinoEngine, 0.05 if bf16 else 2e-5)):
        engine = make(Bundle(found.path.parent, MANIFEST), Resources("cpu", threads=1))
        for each in (engine, engine.unpacked()):
            np.testing.assert_allclose(
                each.run(encoded(*TEXTS)), expected, atol=tolerance, rtol=tolerance
            )


def test_the_segments_of_pairs_are_still_read(tmp_path):
    model = tiny_model(deepcopy(ARCHITECTURES["bert"]))
    bundle = bundle_of(model, tmp_path / "original", segments=True)

    found = optimized(bundle, tmp_path, ratio=twice_as_fast)

    assert inputs(found.path) == sorted([*PACKED, "token_type_ids"])


def test_torch_and_transformers_are_not_needed(tmp_path):
    bundle = bundle_of(tiny_model(deepcopy(ARCHITECTURES["bert"])), tmp_path / "original")

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(bundle.folder), str(tmp_path)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "fused and packed" in done.stdout


def test_layers_that_share_weights_still_share_them(tmp_path):
    config = AlbertConfig(
        vocab_size=30, embedding_size=16, hidden_size=32, num_attention_heads=2,
        num_hidden_layers=4, intermediate_size=64, max_position_embeddings=66, pad_token_id=1,
    )  # fmt: skip
    bundle = bundle_of(tiny_model(config), tmp_path / "original")

    found = optimized(bundle, tmp_path, ratio=twice_as_fast)

    assert operators(found.path).count("Attention") == 4
    assert sum(
        list(each.dims) == [32, 96] for each in onnx.load(found.path).graph.initializer
    ) == 1  # fmt: skip


class _MeanOfTokens(torch.nn.Module):
    """A classifier of the mean of all tokens' vectors."""

    def __init__(self):
        super().__init__()
        self.body = tiny_model(deepcopy(ARCHITECTURES["bert"]))

    def forward(self, input_ids, attention_mask):
        inner = self.body.bert(input_ids=input_ids, attention_mask=attention_mask)
        mask = attention_mask.unsqueeze(-1).float()
        mean = (inner.last_hidden_state * mask).sum(1) / mask.sum(1)
        return SimpleNamespace(logits=self.body.classifier(mean))


def test_a_head_that_reads_all_tokens_is_fused_but_stays_padded(tmp_path):
    bundle = bundle_of(_MeanOfTokens().eval(), tmp_path / "original")

    found = optimized(bundle, tmp_path, ratio=twice_as_fast)

    assert "texts are padded, since its head reads the first token in 0 places" in found.done
    assert operators(found.path).count("Attention") == 2
    assert inputs(found.path) == ["attention_mask", "input_ids"]


def test_a_graph_that_would_answer_otherwise_is_left_as_it_is(tmp_path, monkeypatch):
    def pack_with_positions_from_1(model, pad_token_id):
        pack(model, pad_token_id)
        (first,) = (e for e in model.model.graph.initializer if e.name == "first_position")
        first.CopyFrom(numpy_helper.from_array(np.array(1), "first_position"))

    monkeypatch.setattr("models.graphs.imported_graph.pack", pack_with_positions_from_1)
    bundle = bundle_of(tiny_model(deepcopy(ARCHITECTURES["bert"])), tmp_path / "original")

    assert_left(bundle, tmp_path, "more than the tolerance")


def test_a_rewrite_that_fails_leaves_the_graph_as_it_is(tmp_path, monkeypatch):
    def stumble(_model, _pad_token_id):
        raise IndexError("list index out of range")

    monkeypatch.setattr("models.graphs.imported_graph.pack", stumble)
    bundle = bundle_of(tiny_model(deepcopy(ARCHITECTURES["bert"])), tmp_path / "original")

    assert_left(bundle, tmp_path, "list index out of range")


def test_what_attention_adds_for_the_words_themselves_leaves_the_graph_as_it_is(tmp_path):
    model = tiny_model(deepcopy(ARCHITECTURES["deberta"]))
    bundle = bundle_of(model, tmp_path / "original")

    assert_left(bundle, tmp_path, "adds more than a mask and positions to its scores")


def test_a_graph_that_is_no_faster_fused_is_left_as_it_is(tmp_path):
    bundle = bundle_of(tiny_model(deepcopy(ARCHITECTURES["bert"])), tmp_path / "original")

    assert_left(bundle, tmp_path, "0.98 times the texts/s", ratio=lambda *_: 0.98)


def test_a_quantized_graph_is_left_as_it_is(tmp_path):
    plain = bundle_of(tiny_model(deepcopy(ARCHITECTURES["bert"])), tmp_path / "plain")
    bundle = Bundle(tmp_path / "original", MANIFEST)
    bundle.folder.mkdir()
    quantize_dynamic(plain.model_path, bundle.model_path)

    assert_left(bundle, tmp_path, "it is quantized")


def test_a_graph_of_half_precision_is_left_as_it_is(tmp_path):
    bundle = bundle_of(tiny_model(deepcopy(ARCHITECTURES["bert"])), tmp_path / "original")
    model = OnnxModel(onnx.load(bundle.model_path))
    model.convert_float_to_float16(use_symbolic_shape_infer=False)
    onnx.save(model.model, bundle.model_path)

    assert_left(bundle, tmp_path, "its weights have 16 bits")


def test_a_graph_that_is_packed_already_is_left_as_it_is(tmp_path):
    bundle = bundle_of(tiny_model(deepcopy(ARCHITECTURES["bert"])), tmp_path / "original")
    found = optimized(bundle, tmp_path, ratio=twice_as_fast)
    again = tmp_path / "again"
    again.mkdir()

    assert_left(Bundle(found.path.parent, MANIFEST), again, "does not read input_ids and")


def test_a_graph_whose_attention_is_fused_already_is_packed(tmp_path):
    source = bundle_of(tiny_model(deepcopy(ARCHITECTURES["bert"])), tmp_path / "source")
    options = FusionOptions("bert")
    options.enable_embed_layer_norm = False
    bundle = Bundle(tmp_path / "original", MANIFEST)
    bundle.folder.mkdir()
    optimizer.optimize_model(
        str(source.model_path), model_type="bert", num_heads=2, hidden_size=32,
        optimization_options=options, opt_level=0,
    ).save_model_to_file(str(bundle.model_path))  # fmt: skip

    found = optimized(bundle, tmp_path, ratio=twice_as_fast)

    assert inputs(found.path) == PACKED


def test_a_graph_whose_batch_is_fixed_is_left_as_it_is(tmp_path):
    bundle = bundle_of(tiny_model(deepcopy(ARCHITECTURES["bert"])), tmp_path / "original")
    model = onnx.load(bundle.model_path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, bundle.model_path)

    assert_left(bundle, tmp_path, "input_ids has a fixed size")


def test_weights_in_other_files_are_read(tmp_path):
    config = RobertaConfig(
        vocab_size=30, hidden_size=32, num_attention_heads=2, num_hidden_layers=2,
        intermediate_size=64, max_position_embeddings=66, pad_token_id=1, initializer_range=0.2,
    )  # fmt: skip
    bundle = bundle_of(tiny_model(config), tmp_path / "original")
    onnx.save(onnx.load(bundle.model_path), bundle.model_path, save_as_external_data=True,
              location="weights.bin", size_threshold=0)  # fmt: skip
    named = bundle.manifest.model_copy(update={"files": {"weights.bin": None}})
    bundle = Bundle(bundle.folder, named)

    found = optimized(bundle, tmp_path, ratio=twice_as_fast)

    assert "fused and packed" in found.done
    assert not any(
        each.external_data
        for each in onnx.load(found.path, load_external_data=False).graph.initializer
    )


@pytest.mark.parametrize("as_is", [True, False])
def test_the_command_leaves_the_graph_as_it_is_if_asked(as_is, tmp_path, capsys, monkeypatch):
    folder = write_classifier(tmp_path / "exported", "bert", ("dull", "fair", "fine"))
    model = tiny_model(deepcopy(ARCHITECTURES["bert"]))
    export(model, folder / "model.onnx", dynamo=False, opset=17)
    monkeypatch.setattr("models.graphs.imported_graph._FASTER", 0)
    options = ["--family", "tone", "--variant", "own", "--registry", str(tmp_path / "registry")]

    assert main(["import", str(folder), *options, *(["--as-is"] if as_is else [])]) == 0

    served = tmp_path / "registry/tone/own/model.onnx"
    assert (served.read_bytes() == (folder / "model.onnx").read_bytes()) == as_is
    assert ("The graph is fused and packed" in capsys.readouterr().out) == (not as_is)
