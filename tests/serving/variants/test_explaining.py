"""Explanations by POST /v1/classify: a bag of words is understood, misfits are refused."""

import math

import httpx
import pytest

from serving.bundles.registry import publish
from tests.support.api_keys import write_callers
from tests.support.bundles import WEIGHTS, write_bundle
from tests.support.processes import serving

TEXT = "A GREAT film, not bad!"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("explained")
    for family, pairs in (("tone", False), ("pairs", True)):
        write_bundle(scratch / family, family=family, pairs=pairs)
        publish(scratch / family, scratch / "registry")
    write_bundle(scratch / "small", variant="small", scale=0.5, accuracy=0.8)
    publish(scratch / "small", scratch / "registry")
    limits = {"free": {}, "limited": {"texts_per_s": 1}}
    headers = write_callers(scratch / "callers.json", **limits)
    with serving(scratch / "registry", callers=scratch / "callers.json") as running:
        running.headers = headers
        yield running


def ask(server, texts, explain=None, caller="free", **fields):
    body = {"texts": texts, "model": "tone", **fields}
    if explain is not None:
        body["explain"] = explain
    url = f"{server.url}/v1/classify"
    return httpx.post(url, json=body, headers=server.headers[caller], timeout=30)


def results(server, texts, explain=None, **fields):
    return ask(server, texts, explain, **fields).raise_for_status().json()["results"]


def positive(*words, scale=1.0):
    weight = scale * sum(WEIGHTS[word] for word in words)
    return 1 / (1 + math.exp(-2 * weight))


def test_occlusion_says_what_each_word_changes_with_offsets_into_the_text_as_sent(server):
    (found,) = results(server, [TEXT], {"method": "occlusion", "top": 2})

    explained = found["explanation"]
    assert explained["label"] == found["label"] == "positive"
    assert explained["score"] == found["score"]
    assert explained["base_score"] == pytest.approx(0.5)
    assert explained["evaluations"] == 2 + 7
    great, bad = explained["words"]
    assert (great["text"], great["start"], great["end"]) == ("GREAT", 2, 7)
    assert (bad["text"], bad["start"], bad["end"]) == ("bad", 18, 21)
    whole = positive("great", "bad")
    assert great["contribution"] == pytest.approx(whole - positive("bad"), abs=1e-5)
    assert bad["contribution"] == pytest.approx(whole - positive("great"), abs=1e-5)


def test_shapley_sums_to_the_score_without_the_base_score_for_the_label_asked_for(server):
    wanted = {"method": "shapley", "budget": 60, "label": "negative", "top": 100}
    first, second = results(server, [TEXT, "bad"], wanted, variant="small")

    for found in (first, second):
        explained = found["explanation"]
        total = sum(word["contribution"] for word in explained["words"])
        assert explained["label"] == "negative"
        assert explained["score"] == found["scores"]["negative"]
        assert total == pytest.approx(explained["score"] - explained["base_score"])
        assert explained["evaluations"] <= 60
    assert second["explanation"]["r2"] == pytest.approx(1)
    assert first["variant"] == "small"
    expected = positive("great", "bad", scale=0.5)
    assert first["explanation"]["score"] == pytest.approx(1 - expected, abs=1e-5)


def test_a_text_with_more_words_than_the_budget_is_explained_by_neighbours(server):
    text = "film " * 19 + "awful"
    (found,) = results(server, [text], {"method": "shapley", "budget": 6})

    words = found["explanation"]["words"]
    assert len(words) == 3
    assert found["explanation"]["evaluations"] <= 6
    assert words[0]["text"].endswith("film awful")
    assert text[words[0]["start"] : words[0]["end"]] == words[0]["text"]


def test_a_text_without_words_has_no_contributions(server):
    (found,) = results(server, [" "], {"method": "shapley"})

    explained = found["explanation"]
    assert (explained["words"], explained["evaluations"], explained["r2"]) == ([], 1, 1)
    assert explained["base_score"] == explained["score"]


def test_the_answer_counts_the_tokens_and_without_explain_has_no_explanation(server):
    plain = ask(server, [TEXT]).json()
    explained = ask(server, [TEXT], {"method": "occlusion"}).json()

    assert "explanation" not in plain["results"][0]
    assert explained["usage"]["texts"] == plain["usage"]["texts"] == 1
    assert explained["usage"]["tokens"] > 7 * plain["usage"]["tokens"] / 2


@pytest.mark.parametrize(
    ("explain", "field"),
    [
        ({"method": "guess"}, "explain.method"),
        ({"top": 0}, "explain.top"),
        ({"top": 101}, "explain.top"),
        ({"budget": 1}, "explain.budget"),
        ({"budget": 2001}, "explain.budget"),
        ({"budget": True}, "explain.budget"),
        ({"label": "neutral"}, "explain.label"),
        ({"label": ""}, "explain.label"),
        ({"depth": 1}, "explain.depth"),
        ([], "explain"),
    ],
)
def test_a_bad_value_is_refused_with_field_limit_and_value(server, explain, field):
    refused = ask(server, [TEXT], explain)

    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (422, "invalid_field")
    assert problem["field"] == field
    assert problem["value"] is not None


def test_many_texts_times_the_budget_are_bounded(server):
    refused = ask(server, ["good"] * 21, {"budget": 200}).json()

    assert (refused["field"], refused["limit"], refused["value"]) == ("explain.budget", 190, 200)
    assert ask(server, ["good"] * 20, {"budget": 200}).status_code == 200


def test_pairs_are_not_explained(server):
    refused = ask(server, [["good", "bad"]], {}, model="pairs").json()

    assert (refused["code"], refused["field"]) == ("invalid_field", "texts[0]")


def test_perturbed_texts_count_against_the_callers_rate(server):
    assert ask(server, [TEXT], {}, caller="limited").status_code == 200
    refused = ask(server, ["good"], caller="limited")

    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    # Seven words at a text a second; the request's own text would have taken one.
    assert int(refused.headers["retry-after"]) >= 6


def test_an_explanation_keeps_the_deadline(server):
    text = " ".join(["good", "bad", "film"] * 9)
    refused = ask(server, [text], {"method": "shapley", "budget": 2000}, deadline_ms=1)

    assert refused.status_code in {429, 504}
