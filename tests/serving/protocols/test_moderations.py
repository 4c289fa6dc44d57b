"""POST /v1/moderations, as OpenAI's own client sends it, and as nobody should."""

import json

import httpx
import pytest

from serving.bundles.registry import publish
from tests.support.api_keys import write_callers
from tests.support.bundles import write_bundle, write_tensor_bundle
from tests.support.clients import ask
from tests.support.metric_values import total
from tests.support.odd_graphs import write_odd_bundle
from tests.support.processes import serving
from tests.support.registries import wait_for

CATEGORIES = ("calm", "harassment/threatening", "hate")
TEXTS = ["good film", "awful plot"]
KINDS = {
    "topics": {"labels": CATEGORIES, "problem_type": "multi_label"},
    "mail": {"labels": ("ham", "spam")},
    "tone": {"labels": ("negative", "positive")},
    "attack": {"labels": ("injection",)},
    "stars": {"labels": ("stars",), "problem_type": "regression"},
}
HARMLESS = {"topics": ["calm"], "mail": ["ham"]}


@pytest.fixture(scope="module")
def guard(tmp_path_factory):
    """(server, the headers of its callers): families of every kind, the default multi-label."""
    scratch = tmp_path_factory.mktemp("guard")
    registry = scratch / "registry"
    for family, kind in KINDS.items():
        write_odd_bundle(scratch / family, family=family, **kind)
        publish(scratch / family, registry)
    write_bundle(scratch / "pairs", family="pairs", pairs=True, problem_type="multi_label")
    write_tensor_bundle(scratch / "digits")
    for family in ("pairs", "digits"):
        publish(scratch / family, registry)
    for family, labels in HARMLESS.items():
        (registry / family / "policy.json").write_text(json.dumps({"harmless": labels}))
    headers = write_callers(scratch / "callers", search={}, nightly={"texts_per_s": 0.001})
    with serving(registry, callers=scratch / "callers", default_model="topics") as running:
        yield running, headers
        assert total(running.metrics(), "sizewise_requests_total", code="500") == 0


@pytest.fixture
def post(guard):
    server, headers = guard

    def sent(body):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = headers["search"] | {"Content-Type": "application/json"}
        path = f"{server.url}/v1/moderations"
        return httpx.post(path, content=content, headers=given, timeout=30)

    return sent


def scores_of(guard, family, text):
    server, headers = guard
    body = {"model": family, "texts": [text]}
    return server.classify(body, headers=headers["search"]).json()["results"][0]["scores"]


def test_openais_client_is_answered_and_refused_in_its_own_terms(guard):
    server, headers = guard
    keys = [each["Authorization"].removeprefix("Bearer ") for each in headers.values()]

    found = ask("moderation", f"{server.url}/v1", *keys, "topics", *TEXTS)

    scores = [scores_of(guard, "topics", text) for text in TEXTS]
    results = found["several"]["results"]
    assert found["several"]["model"] == "topics"
    assert found["several"]["id"].startswith("modr-")
    for result, expected in zip(results, scores, strict=True):
        del expected["calm"]
        assert result["category_scores"] == expected
        assert result["categories"] == {name: each >= 0.5 for name, each in expected.items()}
        assert result["flagged"] == any(result["categories"].values())
        assert result["category_applied_input_types"] == {name: ["text"] for name in expected}
    assert [each["flagged"] for each in results] == [True, False]
    for way in ("one", "openai's", "unnamed"):
        assert found[way]["results"] == results[:1]
    (joined,) = found["parts"]["results"]
    assert joined["categories"] == results[0]["categories"]
    assert joined["category_scores"] == {
        name: max(each[name] for each in scores) for name in scores[0]
    }
    assert found["attribute"] is True
    assert found["cut"]["results"][0]["flagged"]
    invalid = "invalid_request_error"
    assert found["refused"] == {
        "key": ["AuthenticationError", 401, "unauthorized", "Authorization", invalid, None],
        "model": ["NotFoundError", 404, "unknown_model", "model", invalid, None],
        "image": ["BadRequestError", 400, "invalid_field", "input[1]", invalid, None],
        "empty": ["BadRequestError", 400, "invalid_field", "input[1]", invalid, None],
        "long": ["BadRequestError", 400, "text_too_long", "input[0]", invalid, None],
        "many": ["APIStatusError", 413, "too_many_texts", "input", invalid, None],
        "field": ["BadRequestError", 400, "invalid_field", "temperature", invalid, None],
        "beyond the limit": ["RateLimitError", 429, "rate_limited", "texts_per_s",
                             "rate_limit_error", found["refused"]["beyond the limit"][-1]],
    }  # fmt: skip
    assert int(found["refused"]["beyond the limit"][-1]) > 0


def test_of_labels_that_exclude_each_other_the_harmless_are_no_categories(post):
    body = {"model": "mail", "input": ["good", "awful", "good bad"]}

    results = post(body).json()["results"]

    assert [each["categories"] for each in results] == [
        {"spam": True}, {"spam": False}, {"spam": False}
    ]  # fmt: skip
    assert [each["flagged"] for each in results] == [True, False, False]
    assert results[0]["category_scores"] == {"spam": pytest.approx(0.8808, abs=1e-4)}


def test_a_single_label_is_a_category(post):
    results = post({"model": "attack", "input": ["good", "bad"]}).json()["results"]

    assert [each["categories"] for each in results] == [{"injection": True}, {"injection": False}]


@pytest.mark.parametrize(
    ("body", "status", "param", "said"),
    [
        (b"{", 400, "body", "send one JSON object"),
        (b'{"input": "\xff"}', 400, "body", "UTF-8"),
        (b'{"input": "\\ud800"}', 400, "body", "send one JSON object"),
        (b'{"input": NaN}', 400, "input", "send a string"),
        (b'{"input": [NaN]}', 400, "input[0]", "send text"),
        (b"[]", 400, "body", "object"),
        ({}, 400, "input", "required"),
        ({"input": None}, 400, "input", "send a string"),
        ({"input": {}}, 400, "input", "send a string"),
        ({"input": []}, 400, "input", "send a string"),
        ({"input": ""}, 400, "input[0]", "empty"),
        ({"input": [[1, 2]]}, 400, "input[0]", "send text"),
        ({"input": ["a", {"type": "text", "text": "b"}]}, 400, "input[1]", "send text"),
        ({"input": [{"type": "text", "text": "b"}, "a"]}, 400, "input[1]", '"type": "text"'),
        ({"input": [{"type": "text"}]}, 400, "input[0]", '"type": "text"'),
        ({"input": [{"type": "text", "text": None}]}, 400, "input[0]", '"type": "text"'),
        ({"input": [{"type": ["text"], "text": "a"}]}, 400, "input[0]", '"type": "text"'),
        ({"input": [{"type": "text", "text": ""}]}, 400, "input[0]", "empty"),
        ({"input": [{"type": "image_url"}]}, 400, "input[0]", "images"),
        ({"input": "a", "model": 7}, 400, "model", "string"),
        ({"input": "a", "model": "gpt-5"}, 404, "model", "there is no model"),
        ({"input": "a", "truncate": "yes"}, 400, "truncate", "boolean"),
        ({"input": "a" * 20_001}, 400, "input[0]", "too many characters"),
        ({"input": ["a"] * 257}, 413, "input", "split the texts"),
        ({"input": ["a"] * 20_000}, 413, "input", "split the texts"),
        ({"input": "a", "model": "tone"}, 400, "model", '"harmless"'),
        ({"input": "a", "model": "stars"}, 400, "model", "values"),
        ({"input": "a", "model": "pairs"}, 400, "input[0]", "pairs of texts"),
        ({"input": "a", "model": "digits"}, 400, "model", '"harmless"'),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_told_as_by_openai(post, body, status, param, said):
    answer = post(body)

    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, param)
    assert said in error["message"]
    assert error.keys() == {"message", "type", "param", "code"}


def test_a_harmless_label_that_no_variant_has_is_refused_with_its_file(tmp_path):
    write_odd_bundle(tmp_path / "mail", family="mail", labels=("ham", "spam"))
    publish(tmp_path / "mail", tmp_path / "registry")
    policy = tmp_path / "registry" / "mail" / "policy.json"
    with serving(tmp_path / "registry", scan_ms=100) as server:
        policy.write_text('{"harmless": ["Ham"]}')
        wait_for(lambda: httpx.get(f"{server.url}/v1/models").json()["refused"])
        listed = httpx.get(f"{server.url}/v1/models").json()
        answer = httpx.post(f"{server.url}/v1/moderations", json={"input": "good"})

    assert listed["refused"] == {
        str(policy): "policy.json: no variant has the harmless label 'Ham': name some of ham, spam"
    }
    assert answer.status_code == 400
    assert "policy.json" in answer.json()["error"]["message"]


def test_what_is_undecided_is_said_and_never_guessed(deciding_guards):
    with serving(deciding_guards) as server:

        def sent(**fields):
            body = {"input": ["great", "film " * 60], **fields}
            return httpx.post(f"{server.url}/v1/moderations", json=body, timeout=30)

        undecided, cut = sent(), sent(truncate=True)

    error = undecided.json()["error"]
    assert (undecided.status_code, error["type"], error["code"]) == (
        503, "server_error", "undecided",
    )  # fmt: skip
    assert "wide of tone is undecided: a text was too long to be read whole" in error["message"]
    assert [each["flagged"] for each in cut.json()["results"]] == [False, True]
