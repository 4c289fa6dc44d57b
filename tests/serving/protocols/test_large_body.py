import json

import pytest
from pydantic import ValidationError

from serving.errors import InvalidField
from serving.protocols.large_body import MOST_VALUES, check_structure
from serving.protocols.native_schemas import ClassifyRequest
from serving.protocols.open_inference.http import InferBody

MANY = 100_000
INPUT = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}


@pytest.mark.parametrize(
    "text",
    ["[{:," * MANY, '"' * MANY, "\\" * MANY, '\\"[' * MANY, "é]" * MANY],
    ids=["marks", "quotes", "backslashes", "escaped", "utf-8"],
)
def test_what_is_inside_a_text_is_not_counted(text):
    check_structure(json.dumps({"texts": [text, text]}).encode(), max_texts=1)
    check_structure(json.dumps({"texts": [text, text]}, ensure_ascii=False).encode(), max_texts=1)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"texts": [[]] * MANY}, "lists and objects"),
        ({"texts": [{}] * MANY}, "lists and objects"),
        ({"texts": ["a"], **dict.fromkeys(map(str, range(MANY)), 1)}, "keys"),
        ({"texts": [1] * (MOST_VALUES + 2)}, "values"),
    ],
    ids=["lists", "objects", "keys", "values"],
)
def test_more_structure_than_a_request_needs_is_refused(body, named):
    with pytest.raises(InvalidField, match=named) as refused:
        check_structure(json.dumps(body).encode(), max_texts=256)

    assert refused.value.value > refused.value.limit


def test_who_sends_a_tensor_in_lists_reads_how_to_send_it():
    rows = {"inputs": [INPUT | {"data": [[1]] * MANY, "shape": [MANY, 1]}]}

    with pytest.raises(InvalidField, match="the data of a tensor flat or as binary data"):
        check_structure(json.dumps(rows).encode(), max_texts=256)


def test_a_text_before_the_structure_does_not_hide_it():
    texts = ['a "quoted\\" text [' * 50_000, *[[]] * MANY]

    with pytest.raises(InvalidField) as refused:
        check_structure(json.dumps({"texts": texts}).encode(), max_texts=256)

    assert refused.value.value == MANY + 2


@pytest.mark.parametrize(
    ("body_type", "body"),
    [
        (ClassifyRequest, {"texts": [1] * 1000}),
        (ClassifyRequest, {"texts": [""] * 1000}),
        (InferBody, {"inputs": [INPUT | {"shape": [""] * 1000}]}),
        (InferBody, {"inputs": [{"data": []}] * 1000}),
        (InferBody, {"inputs": [INPUT], "outputs": [{}] * 1000}),
    ],
    ids=["numbers", "empty", "shape", "inputs", "outputs"],
)
def test_validation_ends_at_the_first_item_that_is_wrong(body_type, body):
    with pytest.raises(ValidationError) as refused:
        body_type.model_validate_json(json.dumps(body))

    assert refused.value.error_count() < 10
