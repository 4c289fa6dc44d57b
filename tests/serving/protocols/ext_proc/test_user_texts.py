"""Which texts of a body are the user's."""

import json

import pytest

from serving.errors import InvalidField, ServedError
from serving.protocols.ext_proc.user_texts import Body, check_names, user_texts
from serving.protocols.request_body import parse_body


def texts(body, roles=("user",)):
    return user_texts(parse_body(Body, json.dumps(body).encode()), roles)


def message(role, content):
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": [message("user", "a"), message("user", "b")]}, ["a", "b"]),
        ({"messages": [message("system", "a"), message("assistant", "b")]}, []),
        ({"messages": [message("User", "a"), message("human", "b"), {"content": "c"}]}, [*"abc"]),
        ({"messages": [message("user", None), message("user", ""), message("user", [])]}, []),
        (
            {
                "messages": [
                    message(
                        "user",
                        [
                            {"type": "text", "text": "a"},
                            {"type": "image_url", "image_url": {"url": "data:"}},
                            {"type": "text", "text": "b"},
                        ],
                    )
                ]
            },
            ["a\nb"],
        ),
        ({"messages": [message("user", [{"type": "refusal", "refusal": "a"}])]}, ["a"]),
        ({"messages": [message("user", [{"text": "a", "refusal": "b"}])]}, ["a\nb"]),
        ({"messages": [message("assistant", [{"type": "thinking", "thinking": "a"}])]}, []),
        ({"messages": [message("user", "a") | {"refusal": "b"}]}, ["a", "b"]),
        (
            {"input": [{"type": "input_text", "text": "a"}, {"type": "refusal", "refusal": "b"}]},
            [*"ab"],
        ),
        ({"prompt": "a"}, ["a"]),
        ({"prompt": ["a", "", "b"], "suffix": "c"}, ["a", "b", "c"]),
        ({"input": "a", "instructions": "b"}, ["a"]),
        ({"input": ["a", "b"]}, ["a", "b"]),
        (
            {
                "input": [
                    message("developer", "a"),
                    {"type": "message", **message("user", [{"type": "input_text", "text": "b"}])},
                    {"type": "function_call_output", "call_id": "1", "output": "c"},
                    {"type": "item_reference", "id": "2"},
                ]
            },
            ["b"],
        ),
        ({"messages": [message("user", "a")], "prompt": "b", "input": "c"}, ["a", "b", "c"]),
    ],
)
def test_the_users_texts_are_found_in_every_form(body, expected):
    assert texts(body) == expected


def test_names_that_are_not_read_may_differ_in_case_alone():
    schema = {"properties": {"Text": {}, "text": {}, "Content": {}}}
    body = {"messages": [message("user", "a")], "tools": [schema], "metadata": {"Input": "b"}}

    assert texts(body) == ["a"]


def test_other_roles_are_read_if_they_are_asked_for():
    body = {"messages": [message("user", "a"), message("tool", "b"), message("system", "c")]}
    outputs = {"input": [{"type": "function_call_output", "output": "d"}]}

    assert texts(body, ("tool", "system")) == ["b", "c"]
    responses = {"input": "a", "instructions": "b"}
    assert [texts(responses, (role,)) for role in ("system", "developer")] == [["a", "b"]] * 2
    assert texts(outputs, ("tool",)) == ["d"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": "m", "contents": [{"parts": [{"text": "a"}]}]},
        {"prompt": [1, 2, 3]},
        {"prompt": {"id": "p", "variables": {"text": "a"}}},
        {"messages": "a"},
        {"messages": ["a"]},
        {"messages": [message("user", {"text": "a"})]},
        {"messages": [message("user", [{"type": "text", "text": {"value": "a"}}])]},
        {"messages": [message("user", [{"type": "tool_result", "content": "a"}])]},
        {"messages": [message("user", [{"type": "thinking", "text": "a", "thinking": "b"}])]},
        {"messages": [message("user", [1])]},
        {"input": [[1, 2]]},
        {"prompt": "a", "suffix": ["b"]},
        {"input": "a", "instructions": [message("user", "b")]},
        {"messages": [message("user", "a")], "Messages": [message("user", "b")]},
        {"messages": [message("user", "a")], "PROMPT": "b"},
        {"prompt": "a", "\u017fuffix": "b"},  # a long s, which Go reads as an s
        {"messages": [message("user", "a") | {"Content": "b"}]},
        {"messages": [message("user", "a") | {"Role": "system"}]},
        {"input": [{"type": "input_text", "text": "a", "TEXT": "b"}]},
        {"messages": [message("user", [{"type": "text", "text": "a", "Text": "b"}])]},
        {"input": [{"type": "function_call_output", "output": "a", "Output": "b"}]},
    ],
)
def test_what_may_hold_a_text_that_is_not_understood_is_refused(body):
    with pytest.raises(ServedError):
        texts(body)


def test_a_name_that_an_object_has_twice_is_refused():
    twice = b'{"messages": [{"role": "user", "content": "a", "content": "b"}]}'
    check_names(b'[{"a": 1}, {"a": 1}]')

    with pytest.raises(InvalidField, match="two fields of the same name"):
        check_names(twice)
