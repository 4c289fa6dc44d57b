import copy
import json

import numpy as np
import pytest
import torch

from models.training.architecture import (
    importance,
    intermediate_size,
    load_classifier,
    most_important_in_layers,
    resized,
    sliced,
)
from models.training.loop import padded
from models.training.refit import _batches, refit
from tests.support.tiny_architectures import write_classifier

WORDS = 10

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


def texts(seed, count):
    """Of 3 to 12 tokens, none of them padding."""
    random = np.random.default_rng(seed)
    return [random.integers(2, WORDS, random.integers(3, 13)).tolist() for _ in range(count)]


def states(model, batch):
    tokens = padded(batch)["attention_mask"].bool()
    with torch.inference_mode():
        output = model(**padded(batch), output_hidden_states=True)
    return output.hidden_states[-1][tokens]


def cut(model, layers, heads, units):
    loss = model(**padded(texts(0, 8))).logits.square().mean()
    kept = most_important_in_layers(importance(model, [loss]), model.config, layers, heads, units)
    sizes = {"layers": len(layers), "heads": heads, "intermediate": units}
    return sliced(model, resized(model.config, **sizes), layers, kept).eval()


def error_left(student, model, layers, width=None):
    """The error of the last states on other texts after the fit, relative to that before it."""
    width = torch.arange(model.config.hidden_size) if width is None else width
    seen, unseen = texts(1, 200), texts(2, 50)
    wanted = states(model, unseen)[:, width]
    before = (states(student, unseen) - wanted).square().mean()
    refit(student, model, layers, seen, seen, width=width)
    return (states(student, unseen) - wanted).square().mean() / before


def test_what_is_left_makes_up_for_heads_and_units_that_were_cut(model):
    layers = tuple(range(model.config.num_hidden_layers))
    student = cut(model, layers, 1, intermediate_size(model.config) // 2)

    assert error_left(student, model, layers) < 0.7


def test_the_last_layer_alone_makes_up_for_those_before_it(model):
    last = (model.config.num_hidden_layers - 1,)
    student = cut(model, last, 2, intermediate_size(model.config))

    assert error_left(student, model, last) < 0.7


def test_a_layer_that_is_there_twice_is_fitted_twice(model):
    student = cut(model, (1, 1), 1, intermediate_size(model.config))

    assert error_left(student, model, (1, 1)) < 0.7


# The tiny ELECTRA's embeddings have the narrower width already.
@pytest.mark.parametrize("model", ["bert", "distilbert", "roberta", "mpnet"], indirect=True)
def test_a_narrower_student_comes_nearer_in_the_dimensions_that_it_has(model):
    layers, width = tuple(range(model.config.num_hidden_layers)), torch.arange(0, 32, 2)
    kept = {("width", None): width}
    loss = model(**padded(texts(0, 8))).logits.square().mean()
    kept |= most_important_in_layers(importance(model, [loss]), model.config, layers, 1, 64)
    config = resized(model.config, width=16, heads=1, intermediate=64)
    student = sliced(model, config, layers, kept).eval()

    assert error_left(student, model, layers, width) < 0.7


def test_a_feed_forward_part_that_computes_in_chunks_is_fitted_too(tmp_path):
    folder = write_classifier(tmp_path / "chunks", "bert", ("bad", "good"))
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chunk_size_feed_forward": 2}))
    model = load_classifier(folder)
    student = cut(model, (1,), 1, 64)

    assert error_left(student, model, (1,)) < 0.7


def test_long_texts_are_fewer():
    ids = [[2] * 500] * 1280

    assert sum(map(len, _batches(ids))) == 40_000 // 500 // 32 * 32
    assert sum(map(len, _batches([[2] * 10] * 1920))) == 1024
    assert len(_batches([[2] * 2000] * 64)) == 1


def test_a_student_that_lacks_nothing_stays_as_it_is(model):
    student, seen = copy.deepcopy(model), texts(1, 50)
    layers = tuple(range(model.config.num_hidden_layers))

    refit(student, model, layers, seen, seen, width=torch.arange(model.config.hidden_size))

    torch.testing.assert_close(states(student, seen), states(model, seen), atol=5e-3, rtol=0)
