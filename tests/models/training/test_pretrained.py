"""How a user's model is loaded."""

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from models.data.labelled import LabelSet
from models.data.sources import Source
from models.training.architecture import load_classifier
from models.training.pretrained import adopted_classifier, base_classifier
from tests.support.tiny_architectures import write_classifier

LABELS = ("bad", "good")

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


@pytest.mark.parametrize("saved", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "load",
    [
        lambda folder: adopted_classifier(Source(folder), "single_label"),
        lambda folder: base_classifier(Source(folder), LabelSet(LABELS, "single_label"))[0],
        load_classifier,
    ],
)
def test_weights_that_were_saved_in_half_precision_are_loaded_in_fp32(tmp_path, saved, load):
    folder = write_classifier(tmp_path / "it", "bert", LABELS)
    AutoModelForSequenceClassification.from_pretrained(folder).to(saved).save_pretrained(folder)

    model = load(folder)

    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert model.config.dtype == torch.float32
