import json

import onnx
import pytest

from models.graphs.import_bundle import _kinds, import_folder
from serving.bundles.registry import read_registry
from serving.errors import BundleError
from serving.inference.engine import Resources
from serving.inference.ort_engine import OrtEngine
from serving.inference.tokenizer import open_tokenizer
from tests.support.exported_folders import export_folder
from tests.support.odd_graphs import write_odd_bundle

TEXTS = ["a good film", "not very dull"]


@pytest.fixture
def imported(tmp_path):
    """Imports a folder; returns the bundle and what was said."""

    def run(folder, **options):
        said = []
        bundle = import_folder(
            folder, "f", folder.name, tmp_path / "registry", say=said.append, **options
        )
        return bundle, said

    return run


def scores(bundle, texts=TEXTS):
    """What a server would answer, before its softmax."""
    encodings = open_tokenizer(bundle).encode(texts)
    return OrtEngine(bundle, Resources("cpu", 1)).run(encodings)


def test_a_graph_that_the_server_runs_is_imported_without_a_word(imported, tmp_path):
    export_folder(tmp_path / "plain")

    bundle, said = imported(tmp_path / "plain")

    assert said == []
    assert bundle.manifest.graph_output == "logits"


@pytest.mark.parametrize("ends_in", ["softmax", "exp and div"])
def test_probabilities_inside_are_recognised_by_the_graph_or_by_their_values(
    imported, tmp_path, ends_in
):
    export_folder(tmp_path / "plain")
    export_folder(tmp_path / "inside", ends_in=ends_in)

    bundle, said = imported(tmp_path / "inside")

    assert bundle.manifest.graph_output == "probabilities"
    assert len(said) == 1
    assert "taken as probabilities" in said[0]
    plain, _ = imported(tmp_path / "plain")
    expected = scores(plain)
    difference = scores(bundle) - expected
    assert abs(difference - difference[:, :1]).max() < 1e-4, "equal but for a softmax's constant"


@pytest.mark.parametrize(
    ("ends_in", "words"),
    [("tanh", "every output lies in [0, 1]"), ("percent", "sum to 100, as percentages do")],
)
def test_what_may_be_probabilities_to_the_eye_is_said(imported, tmp_path, ends_in, words):
    export_folder(tmp_path / "inside", ends_in=ends_in)

    _, said = imported(tmp_path / "inside")

    assert any(words in each for each in said)


def test_warnings_are_compared_by_what_they_are_about():
    batch = "in a batch, logits differ by up to {}, more than logit_tolerance 0.1"

    assert _kinds([batch.format(0.2)]) == _kinds([batch.format(0.3)])
    assert not _kinds(["openvino cannot run it: why"]) <= _kinds([batch.format(0.2)])


def test_of_several_outputs_the_logits_are_served(imported, tmp_path):
    export_folder(tmp_path / "plain")
    export_folder(tmp_path / "two", outputs=("class", "scores"))

    two, plain = (imported(tmp_path / name)[0] for name in ("two", "plain"))

    assert abs(scores(two) - scores(plain)).max() < 1e-6


def test_tokens_that_were_added_after_training_are_refused(imported, tmp_path):
    export_folder(tmp_path / "added", added_tokens=("[URL]", "[USER]"))

    with pytest.raises(BundleError, match=r"19 rows.*ids up to 20 \('\[USER\]'\)"):
        imported(tmp_path / "added")

    assert not (tmp_path / "registry").exists()


def test_what_the_runtime_cannot_load_is_refused_in_its_own_words(imported, tmp_path):
    export_folder(tmp_path / "newer")
    model = onnx.load(tmp_path / "newer" / "model.onnx")
    model.ir_version = 99
    onnx.save(model, tmp_path / "newer" / "model.onnx")

    with pytest.raises(BundleError, match="Unsupported model IR version: 99"):
        imported(tmp_path / "newer")

    assert not (tmp_path / "registry").exists()


def test_what_the_runtime_cannot_run_is_refused_in_its_own_words(imported, tmp_path):
    export_folder(tmp_path / "short")
    path = tmp_path / "short" / "config.json"
    config = json.loads(path.read_text()) | {"max_position_embeddings": 66}
    path.write_text(json.dumps(config))

    with pytest.raises(BundleError, match=r"66 tokens.*[Oo]nnxruntime|66 tokens.*ONNXRuntime"):
        imported(tmp_path / "short")

    assert not (tmp_path / "registry").exists()


def test_an_encoder_without_its_head_is_refused(imported, tmp_path):
    write_odd_bundle(tmp_path / "odd")
    model = onnx.load(tmp_path / "odd" / "model.onnx")
    shape = model.graph.output[0].type.tensor_type.shape
    shape.dim.add().dim_value = 32
    onnx.save(model, tmp_path / "odd" / "model.onnx")

    with pytest.raises(BundleError, match="3 dimensions, not a number for each label"):
        imported(tmp_path / "odd")


def test_no_message_names_a_temporary_file(imported, tmp_path):
    export_folder(tmp_path / "short")
    path = tmp_path / "short" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_position_embeddings": 9}))
    tokenizer = tmp_path / "short" / "tokenizer.json"
    tokenizer.write_text(json.dumps(json.loads(tokenizer.read_text()) | {"model": {"type": "no"}}))

    with pytest.raises(BundleError) as refused:
        imported(tmp_path / "short")

    assert str(tmp_path / "short" / "tokenizer.json") in refused.value.detail
    assert "/tmp/tmp" not in refused.value.detail


def test_a_model_that_looks_like_pairs_is_said_to(imported, tmp_path):
    export_folder(tmp_path / "pairs")
    path = tmp_path / "pairs" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"finetuning_task": "mrpc"}))

    assert "add --pairs" in imported(tmp_path / "pairs")[1][0]
    assert imported(tmp_path / "pairs", pairs=True)[1] == []


def test_the_named_graph_is_imported(imported, tmp_path):
    export_folder(tmp_path / "two")
    export_folder(tmp_path / "two", graph="onnx/model_int8.onnx", ends_in="softmax")

    bundle, _ = imported(tmp_path / "two", graph="model_int8")

    assert bundle.manifest.graph_output == "probabilities"
    assert read_registry(tmp_path / "registry")["f"][0].manifest == bundle.manifest
