import numpy as np
import onnx
import pytest

from models.evaluation.predictions import Predictor
from models.graphs.import_bundle import import_folder
from models.graphs.split_attention import split_attention
from models.graphs.wiring import UnknownGraph
from serving.bundles.bundle import Bundle
from tests.support.exported_folders import export_folder

TEXTS = ["good film", "the plot was very dull", "not bad", "a"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("split")
    export_folder(folder / "exported")
    return import_folder(folder / "exported", "tone", "base", folder / "registry")


def test_logits_stay_when_attention_is_split(bundle, tmp_path):
    split_attention(bundle.model_path, tmp_path / "model.onnx")

    kinds = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert "Attention" not in kinds
    assert "Gemm" not in kinds
    assert kinds.count("MultiHeadAttention") == 2
    changed = Bundle(tmp_path, bundle.manifest, (("tokenizer.json", bundle.tokenizer_path),))
    expected, found = (Predictor(each).logits(TEXTS) for each in (bundle, changed))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_weights_that_are_not_constant_are_refused(bundle, tmp_path):
    model = onnx.load(bundle.model_path)
    node = next(each for each in model.graph.node if each.op_type == "Attention")
    node.input[1] = node.input[0]
    onnx.save(model, tmp_path / "odd.onnx")

    with pytest.raises(UnknownGraph, match="not constant"):
        split_attention(tmp_path / "odd.onnx", tmp_path / "model.onnx")
