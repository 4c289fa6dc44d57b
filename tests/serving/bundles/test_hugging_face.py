import json

import pytest

from serving.bundles.hugging_face import read_declared
from serving.errors import BundleError

TOKENIZER = {
    "model": {"type": "WordLevel", "vocab": {"[PAD]": 0, "[UNK]": 1, "good": 2}},
    "added_tokens": [{"id": 3, "content": "<pad>"}],
}


@pytest.fixture
def declared(tmp_path):
    """Writes a folder and reads what it declares."""

    def read(config, *, width=0, encoding="utf-8", **others):
        files = {"config": {"model_type": "bert"} | config, "tokenizer": TOKENIZER} | others
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding=encoding)
        return read_declared(tmp_path, width)

    return read


@pytest.mark.parametrize(
    ("config", "width", "labels"),
    [
        ({"id2label": {"0": "bad", "1": "good"}}, 2, ["bad", "good"]),
        ({"id2label": {"1": "good", "0": "bad"}}, 0, ["bad", "good"]),
        ({"id2label": ["bad", "good"]}, 2, ["bad", "good"]),
        ({"id2label": None, "label2id": {"good": 1, "bad": "0"}}, 2, ["bad", "good"]),
        ({"id2label": {str(index): f"L{index}" for index in range(11)}}, 0,
         [f"L{index}" for index in range(11)]),
        ({}, 0, ["LABEL_0", "LABEL_1"]),
        ({}, 3, ["LABEL_0", "LABEL_1", "LABEL_2"]),
        ({"num_labels": 4}, 0, ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"]),
        ({"num_labels": 1}, 1, ["LABEL_0"]),
    ],
)  # fmt: skip
def test_labels_are_in_the_order_of_the_logits_and_have_transformers_names(
    declared, config, width, labels
):
    found = declared(config, width=width)

    assert found.labels == labels
    id2label = json.loads(found.config_text)["id2label"]
    assert id2label == {str(index): name for index, name in enumerate(labels)}


def test_names_that_do_not_match_the_number_of_labels_are_said_and_replaced(declared):
    found = declared({"id2label": {"0": "a", "1": "b"}, "num_labels": 3}, width=3)

    assert found.labels == ["LABEL_0", "LABEL_1", "LABEL_2"]
    assert "2 names for 3 labels" in found.warnings[0]


@pytest.mark.parametrize(
    ("id2label", "reason"),
    [({"0": "a", "2": "b"}, r"the keys \[0, 2\]"), ({"good": 1}, "not a number"), (3, "number")],
)
def test_labels_without_an_order_are_refused(declared, id2label, reason):
    with pytest.raises(BundleError, match=reason):
        declared({"id2label": id2label})


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, "single_label"),
        ({"problem_type": None}, "single_label"),
        ({"problem_type": "multi_label_classification"}, "multi_label"),
        ({"problem_type": "regression"}, "regression"),
        ({"num_labels": 1}, "multi_label"),
        ({"num_labels": 1, "problem_type": "single_label_classification"}, "multi_label"),
        ({"num_labels": 1, "problem_type": "regression"}, "regression"),
    ],
)
def test_the_problem_type_is_that_of_transformers_pipeline(declared, config, expected):
    assert declared(config).problem_type == expected


def test_an_unknown_problem_type_is_refused_with_those_that_are_known(declared):
    with pytest.raises(BundleError, match=r"'ranking' is none of single_label_classification, "):
        declared({"problem_type": "ranking"})


@pytest.mark.parametrize(
    ("config", "others", "expected"),
    [
        ({"pad_token_id": 2}, {"tokenizer_config": {"pad_token": "<pad>"}}, 2),
        ({"pad_token_id": None}, {"tokenizer_config": {"pad_token": "<pad>"}}, 3),
        ({"pad_token_id": -1}, {"tokenizer_config": {"pad_token": {"content": "<pad>"}}}, 3),
        ({}, {"special_tokens_map": {"pad_token": "<pad>"}}, 3),
        ({}, {"tokenizer": TOKENIZER | {"padding": {"pad_id": 1}}}, 1),
        ({"text_config": {"pad_token_id": 2}}, {}, 2),
        ({}, {}, 0),
    ],
)
def test_padding_is_that_of_the_model_or_else_of_the_tokenizer(declared, config, others, expected):
    assert declared(config, **others).pad_token_id == expected


@pytest.mark.parametrize(
    ("settings", "truncation", "expected"),
    [
        ({}, None, 64),
        ({"model_max_length": 48}, None, 48),
        ({"model_max_length": 1000}, None, 64),
        ({"model_max_length": 1000000000000000019884624838656}, None, 64),
        ({"model_max_length": 1e30}, 32, 32),
        ({"model_max_length": 48}, 32, 48),
        ({"max_len": 40}, None, 40),
        ({}, 32, 32),
        ({}, 4096, 64),
    ],
)
def test_the_length_limit_is_where_transformers_truncates(declared, settings, truncation, expected):
    section = {"max_length": truncation, "direction": "Right"} if truncation else None

    found = declared(
        {"max_position_embeddings": 64},
        tokenizer_config=settings,
        tokenizer=TOKENIZER | {"truncation": section},
    )

    assert found.max_length == expected


def test_files_that_begin_with_a_byte_order_mark_are_read_and_written_without(declared):
    config = {"id2label": {"0": "schön", "1": "b"}}

    found = declared(config, encoding="utf-8-sig", tokenizer_config={"model_max_length": 7})

    assert found.labels == ["schön", "b"]
    assert found.max_length == 7
    assert found.config_text.startswith("{")
    assert found.tokenizer_text.startswith("{")


def test_files_that_need_no_change_are_kept_to_the_letter(declared, tmp_path):
    found = declared({"id2label": {"0": "a", "1": "b"}})

    assert found.config_text == (tmp_path / "config.json").read_text()
    assert found.tokenizer_text == (tmp_path / "tokenizer.json").read_text()


def test_the_largest_id_may_be_an_added_token(declared):
    assert declared({}).largest_token == ("<pad>", 3)


def test_a_slow_tokenizer_is_named_with_the_way_to_convert_it(declared, tmp_path):
    declared({})
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.txt").write_text("[PAD]\n")

    with pytest.raises(BundleError, match=r"only a slow tokenizer \(vocab.txt\).*save_pretrained"):
        read_declared(tmp_path, 0)


@pytest.mark.parametrize("kind", ["t5gemma", "xlnet"])
def test_an_architecture_that_padding_on_the_right_changes_is_refused(declared, kind):
    with pytest.raises(BundleError, match=f"{kind} must be padded on the left"):
        declared({"model_type": kind})


@pytest.mark.parametrize("content", ["{", "[]", '"x"', "\x00"])
def test_a_configuration_that_is_no_object_is_refused(declared, tmp_path, content):
    declared({})
    (tmp_path / "config.json").write_text(content)

    with pytest.raises(BundleError, match=r"config.json is not (JSON|a JSON object)"):
        read_declared(tmp_path, 0)


@pytest.mark.parametrize(
    ("config", "others", "file"),
    [
        ({"text_config": "bert"}, {}, "config.json"),
        ({"problem_type": ["regression"]}, {}, "config.json"),
        ({"model_type": {}}, {}, "config.json"),
        ({"model_type": "roberta", "pad_token_id": "one"}, {}, "config.json"),
        ({"id2label": {"0": "a", "1": "b"}, "label2id": 3, "max_position_embeddings": 1e999}, {},
         "config.json"),
        ({}, {"tokenizer": TOKENIZER | {"added_tokens": [{"id": 3}]}}, "tokenizer.json"),
        ({}, {"tokenizer": TOKENIZER | {"added_tokens": ["x"]}}, "tokenizer.json"),
        ({}, {"tokenizer": TOKENIZER | {"model": []}}, None),
        ({}, {"tokenizer": TOKENIZER | {"model": "x"}}, "tokenizer.json"),
        ({}, {"tokenizer": TOKENIZER | {"truncation": "on"}}, "tokenizer.json"),
        ({}, {"tokenizer": {"normalizer": "x"}, "tokenizer_config": {"do_lower_case": True}},
         "tokenizer.json"),
        ({}, {"tokenizer": {"post_processor": {"processors": [1]}},
              "tokenizer_config": {"model_input_names": []}}, "tokenizer.json"),
        ({}, {"tokenizer_config": {"tokenizer_class": [], "model_max_length": "x"}}, None),
    ],
)  # fmt: skip
def test_json_of_another_form_is_refused_in_a_sentence(declared, config, others, file):
    if file is None:  # what nobody needs is not judged
        assert declared(config, **others).labels == ["LABEL_0", "LABEL_1"]
        return
    with pytest.raises(BundleError, match=f"{file}.* does not have the form in which save_pretra"):
        declared(config, **others)


def test_a_label_that_is_named_twice_is_refused_by_its_file(declared):
    with pytest.raises(BundleError, match=r"config.json: id2label has good more than once: give"):
        declared({"id2label": {"0": "good", "1": "bad", "2": "good"}})


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"id2label": {"0": "ENTAILMENT", "1": "neutral"}}, True),
        ({"finetuning_task": "mrpc"}, True),
        ({"sentence_transformers": {}}, True),
        ({"finetuning_task": "sst2"}, False),
    ],
)
def test_models_of_two_texts_are_recognised_by_their_task(declared, config, expected):
    assert declared(config).looks_like_pairs is expected
