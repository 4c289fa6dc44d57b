import pytest
import torch

from models.training.loop import padded
from models.training.static_classifier import StaticClassifier, StaticConfig

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = StaticConfig(vocab_size=30, width=8, id2label=dict(enumerate("abc")), pad_token_id=0)
    made = StaticClassifier(config).eval()
    torch.nn.init.normal_(made.embeddings.weight)
    return made


def test_padding_does_not_change_an_answer(model):
    texts = [[2, 8, 9, 3], [2, 3], [2, 10, 11, 12, 13, 14, 3]]

    with torch.inference_mode():
        together = model(**padded(texts)).logits
        alone = torch.cat([model(**padded([text])).logits for text in texts])

    torch.testing.assert_close(together, alone)


def test_the_order_of_words_counts(model):
    with torch.inference_mode():
        first, second = model(**padded([[2, 8, 9, 3], [2, 9, 8, 3]])).logits

    assert (first - second).abs().max() > 1e-3


def test_it_is_saved_and_loaded_whole(model, tmp_path):
    model.save_pretrained(tmp_path)

    loaded = StaticClassifier.from_pretrained(tmp_path)

    assert loaded.config.id2label == {0: "a", 1: "b", 2: "c"}
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


@pytest.mark.parametrize("labels", [3, 12])
def test_embeddings_start_from_the_teacher_s_answers_as_far_as_they_have_room(model, labels):
    answers = torch.randn(30, labels) * 5 + 2

    model.start_from(answers)

    begun = model.embeddings.weight[:, : min(labels, 8)]
    torch.testing.assert_close(begun.square().mean(), torch.tensor(1.0))
    for found, given in zip(begun.T, answers.T, strict=False):
        assert torch.corrcoef(torch.stack([found, given]))[0, 1] > 0.999


def test_a_teacher_that_always_answers_alike_says_nothing_about_words(model):
    before = model.embeddings.weight.clone()

    model.start_from(torch.ones(30, 3))

    assert torch.equal(model.embeddings.weight, before)
