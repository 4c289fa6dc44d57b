"""Training on a GPU, beside the same on the CPU, and bf16 by what the device has."""

from itertools import count

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from models.recipe_sections import TrainSection
from models.training.checkpoint import Checkpoint
from models.training.device import device_of
from models.training.knowledge_distillation import teacher_outputs
from models.training.loop import fit, outputs

TEXTS = [[2, first, second, 3] for first in range(5, 25) for second in range(5, 25)]
TRUTH = torch.tensor([int(text[1] > text[2]) for text in TEXTS])


def trained(monkeypatch, device):
    """A small classifier that learns which of two words comes later, and where it computed."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: device == "cuda")
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=30, hidden_size=32, max_position_embeddings=8, **sizes)
    model, seen = BertForSequenceClassification(config), set()

    def loss(batch, output):
        seen.add(output.hidden_states[-1].device.type)
        return torch.nn.functional.cross_entropy(output.logits, TRUTH[batch])

    section = TrainSection(
        base="folder", epochs=12, learning_rate=3e-3, batch_texts=32, max_length=8, precision="bf16"
    )
    fit(model, TEXTS, loss, section, validate=count().__next__, checkpoint=Checkpoint(None))
    return model.eval(), seen


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
            ],
        ),
    ],
)
def test_a_model_learns_on_the_device_and_comes_back_to_the_cpu(monkeypatch, device):
    model, seen = trained(monkeypatch, device)
    taught = teacher_outputs(model, TEXTS, layers=(0, 1), precision="bf16")

    assert seen == {device}
    assert device_of(model).type == taught.logits.device.type == taught.hidden.device.type == "cpu"
    assert (taught.logits.argmax(-1) == TRUTH).float().mean() > 0.9


@pytest.mark.parametrize(
    ("can", "precision", "expected"),
    [(True, "bf16", True), (False, "bf16", False), (True, "fp32", False)],
)
def test_bf16_is_for_processors_that_have_it(monkeypatch, can, precision, expected):
    capabilities = {"avx2": True, "avx512_bf16": can, "amx_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    config = BertConfig(vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    model, seen = BertForSequenceClassification(config), []
    model.register_forward_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))

    outputs(model, TEXTS[:2], precision)

    assert seen == [expected]


def test_a_training_says_that_there_is_no_bf16(monkeypatch, capsys):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})

    trained(monkeypatch, "cpu")

    assert capsys.readouterr().out.startswith("there is no bf16 here: the training is in fp32\n")
