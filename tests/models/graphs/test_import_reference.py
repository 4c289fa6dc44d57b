import json
import sys

import pytest
import torch
from transformers import BertConfig, RobertaConfig

from models.graphs.import_bundle import import_folder
from serving.errors import BundleError
from tests.support.exported_folders import INPUTS, SHAPE, export_folder

PAIRED = [False, True]


@pytest.fixture
def compared(tmp_path):
    """Imports a folder, compared with itself or another; returns what was said last."""

    def run(folder, reference=None, **options):
        said = []
        import_folder(
            folder, "f", "v", tmp_path / "registry", reference=reference or folder,
            say=said.append, **options,
        )  # fmt: skip
        return said[-1]

    return run


@pytest.mark.parametrize("pairs", PAIRED)
@pytest.mark.parametrize(
    "settings",
    [{}, {"model_max_length": 16}, {"model_max_length": 16, "truncation_side": "left"}],
)
def test_an_export_of_the_same_weights_is_equal(compared, tmp_path, settings, pairs):
    export_folder(tmp_path / "plain", **settings)

    said = compared(tmp_path / "plain", pairs=pairs)

    assert "labels, tokens and truncation are the same" in said


def test_positions_that_begin_after_padding_are_equal_to_the_last(compared, tmp_path):
    config = RobertaConfig(**(SHAPE | {"pad_token_id": 1, "type_vocab_size": 1}))
    export_folder(tmp_path / "roberta", config, inputs=INPUTS[:2],
                  model_input_names=["input_ids", "attention_mask"])  # fmt: skip

    assert "truncation are the same" in compared(tmp_path / "roberta")
    manifest = json.loads((tmp_path / "registry/f/v/manifest.json").read_text())
    assert manifest["max_length"] == 62


def test_an_export_of_other_weights_is_refused_with_the_difference(compared, tmp_path):
    export_folder(tmp_path / "old")
    model = export_folder(tmp_path / "new")
    with torch.no_grad():
        model.classifier.bias.add_(0.5)
    model.save_pretrained(tmp_path / "new")

    with pytest.raises(BundleError, match=r"logits differ by up to 5.0e-01 .*these weights"):
        compared(tmp_path / "old", tmp_path / "new")

    assert not (tmp_path / "registry").exists()


def test_other_labels_are_refused(compared, tmp_path):
    export_folder(tmp_path / "old")
    export_folder(tmp_path / "new", BertConfig(**SHAPE, id2label={0: "b", 1: "a"}))

    with pytest.raises(BundleError, match="has the labels b, a, not LABEL_0, LABEL_1"):
        compared(tmp_path / "old", tmp_path / "new")


def test_another_tokenizer_is_refused(compared, tmp_path):
    export_folder(tmp_path / "old", truncation_side="left", model_max_length=16)
    export_folder(tmp_path / "new", model_max_length=16)

    with pytest.raises(BundleError, match="of a text that is truncated"):
        compared(tmp_path / "old", tmp_path / "new")


def test_a_folder_that_transformers_cannot_load_is_said(compared, tmp_path):
    export_folder(tmp_path / "plain")

    with pytest.raises(BundleError, match="--reference: transformers cannot load"):
        compared(tmp_path / "plain", tmp_path / "nothing")


def test_without_torch_the_option_says_what_it_needs(compared, tmp_path, monkeypatch):
    export_folder(tmp_path / "plain")
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(BundleError, match=r"--reference needs torch: pip install 'sizewise\[mode"):
        compared(tmp_path / "plain")
