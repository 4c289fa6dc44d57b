"""Every spelling of an activation is imported and adopted as transformers computes it."""

import pytest
from transformers import AutoConfig, AutoModelForSequenceClassification
from transformers.activations import ACT2CLS

from tests.conformance.adopting import adopted
from tests.conformance.architectures import Saved, spread_out
from tests.conformance.exporting import export
from tests.conformance.judging import EQUAL, judge
from tests.conformance.quiet import quietly
from tests.conformance.reference import Reference
from tests.conformance.rows import imported

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves

NOT_EXPORTED = {"xielu"}  # torch has no ONNX operator for expm1


@pytest.fixture
def activated(copy_of, exported):
    """A BERT of one layer with another activation, in memory and in a folder."""

    def _activated(activation):
        folder = copy_of("bert")
        (folder / "model.onnx").unlink()
        config = AutoConfig.from_pretrained(folder, hidden_act=activation, num_hidden_layers=1)
        model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
        spread_out(model)
        model.eval().save_pretrained(folder)
        return Saved(folder, model, exported("bert").tokenizer)

    return _activated


@pytest.mark.parametrize("activation", sorted(ACT2CLS.keys() - NOT_EXPORTED))
def test_an_activation_is_the_same_imported_and_adopted(activated, tmp_path, activation):
    with quietly():
        classifier = activated(activation)
        reference = Reference(classifier.model, classifier.tokenizer)
        export(classifier.model, classifier.tokenizer, classifier.folder / "model.onnx")
        (tmp_path / "adopted").mkdir()
        bundles = [
            imported(classifier.folder, tmp_path / "registry", "variant"),
            adopted(classifier.folder, tmp_path / "adopted"),
        ]
        found = [judge(each, "onnxruntime", reference, ["batch"]) for each in bundles]

    assert found == [{"batch": EQUAL}] * len(bundles)
