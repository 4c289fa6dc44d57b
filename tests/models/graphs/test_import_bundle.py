import json
import shutil
import subprocess
import sys

import onnx
import pytest

from models.graphs.import_bundle import import_folder
from serving.bundles.bundle import verify
from serving.bundles.registry import read_registry
from serving.errors import BundleError
from tests.support.bundles import write_bundle

WITHOUT_TORCH = """
import sys
from models.__main__ import main
status = main(sys.argv[1:])
assert not {"torch", "transformers"} & set(sys.modules), "torch was imported"
sys.exit(status)
"""


@pytest.fixture
def exported(tmp_path):
    """A Hugging Face folder, as `optimum-cli export onnx` leaves it."""
    folder = tmp_path / "exported"
    write_bundle(folder)
    (folder / "manifest.json").unlink()
    return folder


def test_importing_makes_a_bundle_without_torch(exported, tmp_path):
    registry = tmp_path / "registry"
    options = ("--family", "tone", "--variant", "other", "--registry", str(registry))

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "import", str(exported), *options],
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    (bundle,) = read_registry(registry)["tone"]
    config = json.loads((exported / "config.json").read_text())
    assert bundle.manifest.variant == "other"
    assert bundle.manifest.labels == list(config["id2label"].values())
    assert bundle.manifest.precision == "fp32"
    assert bundle.manifest.parameters > 0
    assert str(registry) in done.stdout


def test_a_graph_in_the_onnx_folder_is_found(exported, tmp_path):
    (exported / "onnx").mkdir()
    shutil.move(exported / "model.onnx", exported / "onnx" / "model.onnx")

    bundle = import_folder(exported, "tone", "other", tmp_path / "registry")

    assert bundle.model_path.is_file()


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
def test_a_missing_file_is_named(exported, tmp_path, name):
    (exported / name).unlink()

    with pytest.raises(BundleError, match=name):
        import_folder(exported, "tone", "other", tmp_path / "registry")

    assert not (tmp_path / "registry").exists()


def test_a_file_that_is_not_onnx_is_refused(exported, tmp_path):
    (exported / "model.onnx").write_bytes(b"not a graph")

    with pytest.raises(BundleError, match="not an ONNX file"):
        import_folder(exported, "tone", "other", tmp_path / "registry")


def test_weights_beside_the_graph_come_along(exported, tmp_path):
    model = onnx.load(exported / "model.onnx")
    onnx.save(model, exported / "model.onnx", save_as_external_data=True, location="weights.bin",
              size_threshold=64)  # fmt: skip

    bundle = import_folder(exported, "tone", "other", tmp_path / "registry")

    weights = (exported / "weights.bin").read_bytes()
    assert (bundle.folder / "weights.bin").read_bytes() == weights
    assert bundle.manifest.files["weights.bin"].bytes == len(weights)
    verify(bundle)


@pytest.mark.parametrize(
    ("config", "truncation", "expected"),
    [
        ({"max_position_embeddings": 64}, None, 64),
        ({"max_position_embeddings": 64}, 48, 48),
        ({"max_position_embeddings": 64}, 4096, 64),
        ({"max_position_embeddings": 514, "model_type": "roberta", "pad_token_id": 1}, None, 512),
    ],
)
def test_the_length_limit_is_what_positions_and_tokenizer_allow(
    exported, tmp_path, config, truncation, expected
):
    path = exported / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    tokenizer = json.loads((exported / "tokenizer.json").read_text())
    if truncation:
        tokenizer["truncation"] = {
            "direction": "Right",
            "max_length": truncation,
            "strategy": "LongestFirst",
            "stride": 0,
        }
    (exported / "tokenizer.json").write_text(json.dumps(tokenizer))

    bundle = import_folder(exported, "tone", "other", tmp_path / "registry")

    assert bundle.manifest.max_length == expected


def test_a_multi_label_model_is_recognised(exported, tmp_path):
    path = exported / "config.json"
    kind = {"problem_type": "multi_label_classification"}
    path.write_text(json.dumps(json.loads(path.read_text()) | kind))

    bundle = import_folder(exported, "tone", "other", tmp_path / "registry")

    assert bundle.manifest.problem_type == "multi_label"


def test_weights_in_a_format_that_no_manifest_names_are_refused(exported, tmp_path):
    model = onnx.load(exported / "model.onnx")
    for tensor in model.graph.initializer:
        tensor.data_type = onnx.TensorProto.FLOAT8E4M3FN
    (exported / "model.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(BundleError, match="stores its weights as FLOAT8E4M3FN: export them as"):
        import_folder(exported, "tone", "other", tmp_path / "registry")
