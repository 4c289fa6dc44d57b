import copy

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from models.training.knowledge_distillation import every_token_loss
from models.training.loop import leave_dropout_out, outputs
from models.training.teacher_states import TeacherStates
from tests.support.tiny_architectures import write_classifier

TEXTS = [[2, 5, 9, 3], [2, 7, 3], [2, 4, 4, 6, 8, 3]]

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


@pytest.mark.parametrize("batch", [[0, 1, 2], [2, 0]])
def test_states_of_all_tokens_are_those_of_a_teacher_that_reads_the_same(model, tmp_path, batch):
    student = copy.deepcopy(model)
    layers = range(model.config.num_hidden_layers)
    output = outputs(student, [TEXTS[i] for i in batch], output_hidden_states=True)

    def loss(texts):
        taught = TeacherStates(model, texts, layers, "fp32", tmp_path)
        return every_token_loss(taught, torch.nn.Identity())(batch, output).item()

    assert loss(TEXTS) == pytest.approx(0, abs=1e-6)
    assert loss([text[::-1] for text in TEXTS]) > 0.05


def test_without_dropout_a_model_in_training_answers_as_afterwards(model):
    wanted = outputs(model, TEXTS).logits
    model.train()
    assert not torch.allclose(outputs(model, TEXTS).logits, wanted)

    leave_dropout_out(model)

    torch.testing.assert_close(outputs(model, TEXTS).logits, wanted)


def test_dropout_that_is_a_number_of_attention_is_left_out_too(tmp_path):
    folder = write_classifier(tmp_path / "it", "modernbert", ("bad", "good"))
    model = AutoModelForSequenceClassification.from_pretrained(folder, attention_dropout=0.5)
    wanted = outputs(model.eval(), TEXTS).logits
    model.train()
    assert not torch.allclose(outputs(model, TEXTS).logits, wanted)

    leave_dropout_out(model)

    torch.testing.assert_close(outputs(model, TEXTS).logits, wanted)
