import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from transformers import GPT2Config, GPT2ForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput

from models.training.loop import accuracy, label_loss, outputs, padded, similar_lengths


class Echo(torch.nn.Module):
    """The logits of a text are its first two token ids, less 10."""

    def forward(self, input_ids, attention_mask):
        assert attention_mask.shape == input_ids.shape
        return SequenceClassifierOutput(logits=input_ids[:, :2].float() - 10)


ENCODINGS = [[9, 11], [12, 11, 5], [8, 7], [13, 12, 1, 1]]


def test_single_label_accuracy_is_that_of_the_largest_logit():
    truth = np.array([[0, 1], [1, 0], [0, 1], [1, 0]], dtype=bool)

    assert accuracy(Echo(), ENCODINGS, truth, "single_label") == 0.75


def test_multi_label_accuracy_counts_texts_whose_every_label_is_right():
    truth = np.array([[0, 1], [1, 1], [0, 0], [1, 0]], dtype=bool)

    assert accuracy(Echo(), ENCODINGS, truth, "multi_label") == 0.75


LOGITS = torch.tensor([[0.3, -1.0, 2.0], [0.0, 0.5, -0.5]])
TRUTH = torch.tensor([[False, False, True], [True, False, False]])


def test_the_single_label_loss_is_smoothed_and_weighted_cross_entropy():
    weights = torch.tensor([1.0, 2.0, 3.0])

    loss = label_loss("single_label", weights, 0.1)(LOGITS, TRUTH)

    expected = functional.cross_entropy(
        LOGITS, torch.tensor([2, 0]), weight=weights, label_smoothing=0.1
    )
    assert loss == pytest.approx(expected)


def test_the_multi_label_loss_is_that_of_each_label_alone():
    weights = torch.tensor([1.0, 2.0, 3.0])

    loss = label_loss("multi_label", weights)(LOGITS, TRUTH)

    chance = torch.sigmoid(LOGITS)
    expected = -torch.where(TRUTH, weights * chance.log(), (1 - chance).log()).mean()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=80), st.integers(1, 9), st.integers(0, 3))
def test_every_text_is_in_one_batch(lengths, batch_texts, seed):
    batches = similar_lengths(lengths, batch_texts, seed)

    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert max(map(len, batches)) <= batch_texts


def test_padding_is_masked():
    inputs = padded([[5, 6], [7]])

    assert inputs["input_ids"].tolist() == [[5, 6], [7, 0]]
    assert inputs["attention_mask"].tolist() == [[1, 1], [1, 0]]


@pytest.mark.parametrize("filler", [0, 7])
def test_a_decoder_answers_a_text_in_a_batch_as_alone(filler):
    config = GPT2Config(
        vocab_size=20, n_positions=16, n_embd=16, n_layer=1, n_head=2, pad_token_id=filler
    )
    torch.manual_seed(0)
    model = GPT2ForSequenceClassification(config).eval()
    texts = [[5, 6, 9, 8, 3], [4, 3]]

    together = outputs(model, texts).logits

    alone = torch.cat([outputs(model, [text]).logits for text in texts])
    assert torch.allclose(together, alone, atol=1e-6)
