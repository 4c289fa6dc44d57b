import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    GPT2Config,
    ModernBertConfig,
    XLMConfig,
)

from models.recipe import RecipeError
from models.training.architecture import (
    axes,
    check_cuttable,
    empty_classifier,
    head_size,
    importance,
    intermediate_size,
    layer_of,
    load_classifier,
    most_important_in_layers,
    resized,
    sliced,
)
from models.training.loop import padded

BATCH = padded([[2, 5, 9, 3], [2, 7, 3]])

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


def test_every_axis_of_the_width_the_heads_and_the_units_is_found(model):
    config = model.config
    sizes = {
        "width": config.hidden_size,
        "heads": config.hidden_size,
        "shared_heads": config.num_attention_heads,
        "units": intermediate_size(config),
        "words": config.vocab_size,
        "positions": config.max_position_embeddings,
    }

    found = set()
    for name, weight in model.named_parameters():
        where = axes(name, config)
        assert len(where) == weight.dim(), name
        for axis, size in zip(where, weight.shape, strict=True):
            assert axis is None or sizes[axis] == size, name
            found.add((axis, layer_of(name)) if axis in ("heads", "units") else axis)
    layers = range(config.num_hidden_layers)
    assert {(kind, layer) for kind in ("heads", "units") for layer in layers} <= found
    assert {"width", "words", "positions"} <= found


def test_a_slice_that_keeps_everything_answers_as_the_model(model):
    layers = tuple(range(model.config.num_hidden_layers))

    same = sliced(model, resized(model.config), layers, {}).eval()

    with torch.inference_mode():
        torch.testing.assert_close(same(**BATCH).logits, model(**BATCH).logits)


def test_heads_and_units_of_no_effect_can_go_without_a_change(model, tmp_path):
    """Their output weights are zero, so that they score zero and nothing is lost without them."""
    size, units = head_size(model.config), intermediate_size(model.config)
    layers = tuple(range(model.config.num_hidden_layers))
    idle_heads, idle_units = torch.arange(size), torch.arange(0, units, 2)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if axes(name, model.config) == ("width", "heads"):
                weight[:, idle_heads] = 0
            if axes(name, model.config) == ("width", "units"):
                weight[:, idle_units] = 0
    loss = torch.nn.functional.cross_entropy(model(**BATCH).logits, torch.tensor([0, 1]))

    scores = importance(model, [loss])
    kept = most_important_in_layers(
        scores,
        model.config,
        layers,
        heads=model.config.num_attention_heads - 1,
        units=units - len(idle_units),
    )
    for layer in layers:
        assert not scores["heads", layer][0]
        assert not set(kept["units", layer].tolist()) & set(idle_units.tolist())
    config = resized(
        model.config,
        heads=model.config.num_attention_heads - 1,
        intermediate=units - len(idle_units),
    )
    small = sliced(model, config, layers, kept)
    small.save_pretrained(tmp_path / "small")
    again = load_classifier(tmp_path / "small")

    with torch.inference_mode():
        torch.testing.assert_close(again(**BATCH).logits, model(**BATCH).logits)
    assert again.num_parameters() < model.num_parameters()


def test_a_narrower_model_has_heads_of_the_same_size(model):
    width = model.config.hidden_size // 2

    small = empty_classifier(resized(model.config, width=width))

    assert head_size(small.config) == head_size(model.config)
    assert small(**BATCH).logits.shape == (2, 3)


def test_a_layer_that_is_not_there_is_refused(model):
    with pytest.raises(RecipeError, match="list layers that it has"):
        sliced(model, resized(model.config, layers=1), (7,), {})


def test_a_layer_keeps_the_rows_of_its_most_important_heads_together():
    config = BertConfig(hidden_size=9, num_attention_heads=3)
    scores = {("heads", 1): torch.tensor([5.0, 1.0, 3.0]), ("units", 1): torch.tensor([1.0, 2.0])}

    kept = most_important_in_layers(scores, config, [1], heads=2, units=1)

    assert kept["heads", 1].tolist() == [0, 1, 2, 6, 7, 8]
    assert kept["units", 1].tolist() == [1]


SMALL = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2}


def classifier(config):
    return AutoModelForSequenceClassification.from_config(config)


def test_a_slice_of_a_model_whose_layers_have_kinds_has_those_of_its_layers():
    config = ModernBertConfig(**SMALL, intermediate_size=64, pad_token_id=0)
    whole = classifier(config)

    part = sliced(whole, resized(config, layers=2), (1, 3), {})

    kinds = whole.config.layer_types
    assert kinds == ["full_attention", "sliding_attention", "sliding_attention", "full_attention"]
    assert part.config.layer_types == [kinds[1], kinds[3]]
    assert whole.config.layer_types == kinds


def test_layers_and_words_whose_weights_are_not_known_are_not_cut():
    config = XLMConfig(n_words=40, emb_dim=32, n_layers=4, n_heads=2, pad_token_id=0)
    whole = classifier(config)
    with pytest.raises(RecipeError, match="layers: those of xlm cannot be cut"):
        sliced(whole, resized(config, layers=2), (1, 3), {})
    with pytest.raises(RecipeError, match="layers: those of xlm cannot be cut"):
        check_cuttable(whole)

    config = GPT2Config(vocab_size=40, n_embd=32, n_layer=2, n_head=2, pad_token_id=0)
    whole = classifier(config)
    check_cuttable(whole)
    with pytest.raises(RecipeError, match="vocabulary_words: gpt2 is not supported: remove it or"):
        sliced(whole, resized(config, words=2), (0, 1), {("words", None): torch.tensor([0, 1])})
