import copy

import pytest

from serving.bundles.tokenizer_file import adapted, largest_token, token_ids

CASED = {
    "normalizer": {"type": "BertNormalizer", "lowercase": False, "strip_accents": None},
    "model": {"vocab": {"a": 0}},
}
BERT = {"model_type": "bert"}


def changed(tokenizer, settings, config=BERT):
    warnings = []
    before = copy.deepcopy(tokenizer)
    found = adapted(tokenizer, settings, config, 64, warnings)
    assert tokenizer == before
    return found, warnings


def test_the_side_of_tokenizer_config_replaces_that_of_the_tokenizer():
    found, _ = changed({"truncation": None}, {"truncation_side": "left"}, {})

    assert found["truncation"] == {
        "direction": "Left", "max_length": 64, "strategy": "LongestFirst", "stride": 0,
    }  # fmt: skip


def test_the_strategy_and_stride_of_the_tokenizer_are_kept():
    section = {"direction": "Left", "max_length": 8, "strategy": "OnlySecond", "stride": 2}

    found, _ = changed({"truncation": section}, {"truncation_side": "right"}, {})

    assert found["truncation"] == section | {"direction": "Right"}


@pytest.mark.parametrize(
    ("direction", "settings"), [("Left", {}), ("Left", {"truncation_side": "left"}), ("Right", {})]
)
def test_a_side_that_is_not_contradicted_stays(direction, settings):
    assert changed({"truncation": {"direction": direction}}, settings, {})[0] is None


@pytest.mark.parametrize(
    "settings",
    [
        {"do_lower_case": True},
        {"do_lower_case": True, "tokenizer_class": "BertTokenizer"},
        {"tokenizer_class": "DistilBertTokenizerFast"},
    ],
)
def test_a_bert_tokenizer_lowers_where_transformers_would(settings):
    found, warnings = changed(CASED, settings)

    assert found["normalizer"]["lowercase"] is True
    assert "do_lower_case" in warnings[0]


def test_a_bert_tokenizer_keeps_the_case_where_its_configuration_says_so():
    lowering = {"normalizer": CASED["normalizer"] | {"lowercase": True}}

    found, warnings = changed(lowering, {"do_lower_case": False})

    assert found["normalizer"]["lowercase"] is False
    assert len(warnings) == 1


@pytest.mark.parametrize(
    ("settings", "config"),
    [
        ({"do_lower_case": True, "tokenizer_class": "PreTrainedTokenizerFast"}, BERT),
        ({"do_lower_case": True}, {"model_type": "roberta"}),
        ({"do_lower_case": False}, BERT),
    ],
)
def test_other_tokenizers_are_left_as_they_are(settings, config):
    assert changed(CASED, settings, config) == (None, [])


def test_a_cased_bert_tokenizer_without_a_configuration_is_kept_and_said():
    found, warnings = changed(CASED, {})

    assert found is None
    assert "transformers would lower it" in warnings[0]


def test_a_pair_has_one_segment_where_the_model_is_given_none():
    pieces = [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]
    tokenizer = {"post_processor": {"type": "TemplateProcessing", "single": [], "pair": pieces}}

    found, _ = changed(tokenizer, {"model_input_names": ["input_ids", "attention_mask"]}, {})
    bare, _ = changed(tokenizer, {"tokenizer_class": "TokenizersBackend"}, {})
    same, _ = changed(tokenizer, {"model_input_names": ["input_ids", "token_type_ids"]}, {})

    assert bare == found
    assert [piece["Sequence"]["type_id"] for piece in found["post_processor"]["pair"]] == [0, 0]
    assert same is None


def test_token_ids_are_found_in_every_kind_of_vocabulary():
    unigram = {"model": {"vocab": [["<unk>", 0.0], ["a", -1.5]]}}

    assert token_ids(unigram) == {"<unk>": 0, "a": 1}
    assert largest_token(unigram | {"added_tokens": [{"id": 9, "content": "x"}]}) == ("x", 9)
    assert largest_token({}) == ("", 0)
