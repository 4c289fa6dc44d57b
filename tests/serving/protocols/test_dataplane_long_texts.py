"""Texts that are longer than the model reads, answered by windows of them, in every protocol."""

import json

import httpx
import pytest

from serving.bundles.probabilities import sigmoid, softmax
from serving.bundles.registry import publish
from serving.bundles.windows import WINDOWS_NAME
from tests.support.api_keys import write_callers
from tests.support.bundles import write_bundle, write_tensor_bundle
from tests.support.cascades import write_cascade
from tests.support.metric_values import total
from tests.support.processes import FRESH, serving
from tests.support.registries import models, wait_for

ROOM = 14
"""Of the 16 tokens of a window, those that are not [CLS] and [SEP]."""
WORDS = 66
WINDOWS = 6
SETTINGS = {"max_windows": 8, "max_texts": 16, "max_queue_texts": 16}


def publish_tiny(registry, scratch, family, **fields):
    write_bundle(scratch / family, family=family, max_length=16, **fields)
    publish(scratch / family, registry)
    return registry / family


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("long")
    registry = scratch / "registry"
    publish_tiny(registry, scratch, "tone")
    flags = publish_tiny(registry, scratch, "flags", problem_type="multi_label")
    (flags / WINDOWS_NAME).write_text('{"long": "windows"}')
    publish_tiny(registry, scratch, "pair", pairs=True)
    write_tensor_bundle(scratch / "digits")
    publish(scratch / "digits", registry)
    return registry


@pytest.fixture(scope="module", params=[0, 2], ids="{} HTTP processes".format)
def server(registry, request, tmp_path_factory):
    callers = tmp_path_factory.mktemp("callers") / "callers.json"
    headers = write_callers(callers, light={"texts_per_s": 4}, free={})
    settings = {"http_processes": request.param, "callers": callers, "default_model": "tone"}
    with serving(registry, **settings, **SETTINGS) as running:
        running.headers = headers
        yield running


def ask(server, *texts, caller="free", **fields):
    headers = FRESH | server.headers[caller]
    return server.classify({"texts": texts, **fields}, headers=headers)


def post(server, path, body):
    return httpx.post(f"{server.url}{path}", json=body, headers=server.headers["free"], timeout=30)


def near(value):
    return pytest.approx(value, abs=1e-5)


def hay(needle, place):
    return " ".join([*["film"] * place, needle, *["film"] * (WORDS - 1 - place)])


@pytest.mark.parametrize("place", [0, 1, ROOM - 1, ROOM, 31, 47, WORDS - 2, WORDS - 1])
def test_a_needle_is_found_at_any_place_and_its_window_is_named(server, place):
    text = hay("awful", place)

    (found,) = ask(server, text, model="flags").json()["results"]
    (cut,) = ask(server, text, model="flags", long="truncate").json()["results"]

    assert found["scores"] == near(dict(zip(found["scores"], sigmoid([2.0, 0.0]), strict=True)))
    assert (found["label"], found["truncated"]) == ("negative", False)
    decided = found["windows"]["labels"]["negative"]
    assert "awful" in text[decided["start"] : decided["end"]]
    assert len(text[decided["start"] : decided["end"]].split()) == ROOM
    assert found["windows"]["count"] == WINDOWS
    assert (cut["truncated"], "windows" in cut) == (True, False)
    assert (cut["scores"]["negative"] == near(0.5)) == (place >= ROOM)


def test_offsets_are_characters_of_the_text_that_was_sent(server):
    odd = ["\U0001f600", "e\u0301", "電", "\U0001f469\u200d\U0001f4bb", "İ"]
    text = " ".join(odd * 6 + ["awful"] + odd * 4)

    (found,) = ask(server, text, model="flags").json()["results"]

    decided = found["windows"]["labels"]["negative"]
    its = text[decided["start"] : decided["end"]]
    assert "awful" in its
    assert its == its.strip()


def test_windows_of_the_same_text_give_the_same_alone_and_among_others(server):
    texts = [hay("awful", 30), "good", hay("great", 50), "bad plot"]

    together = ask(server, *texts, long="windows").json()
    alone = [ask(server, text, long="windows").json() for text in texts]

    assert together["results"] == [each["results"][0] for each in alone]
    assert together["usage"]["tokens"] == sum(each["usage"]["tokens"] for each in alone)
    assert together["usage"] == {"texts": 4, "tokens": 2 * WINDOWS * 16 + 3 + 4}
    assert ["windows" in each for each in together["results"]] == [True, False, True, False]


def test_a_text_that_fits_is_answered_as_if_nothing_were_said(server):
    plain = ask(server, "good " * ROOM).json()

    assert ask(server, "good " * ROOM, long="windows").json() == plain
    assert "windows" not in plain["results"][0]


def test_of_one_label_the_windows_scores_are_averaged(server):
    (found,) = ask(server, hay("awful", 0), long="windows").json()["results"]

    expected = (softmax([2.0, -2.0])[0] + (WINDOWS - 1) * 0.5) / WINDOWS
    assert found["scores"]["negative"] == near(expected)


def test_what_becomes_of_a_long_text_is_said_once(server):
    text = hay("awful", 30)
    statuses = {
        said: ask(server, text, **json.loads(said)).status_code
        for said in (
            "{}", '{"long": "refuse"}', '{"truncate": false}', '{"truncate": true}',
            '{"long": "truncate"}', '{"long": "truncate", "truncate": true}',
            '{"long": "windows"}', '{"long": "windows", "truncate": false}',
            '{"long": "windows", "truncate": true}', '{"long": "refuse", "truncate": true}',
            '{"long": "truncate", "truncate": false}', '{"long": "fold"}',
        )
    }  # fmt: skip

    assert list(statuses.values()) == [422, 422, 422, 200, 200, 200, 200, 200, 422, 422, 422, 422]
    contradiction = ask(server, text, long="windows", truncate=True).json()
    assert "truncate contradicts long" in contradiction["detail"]


def test_the_bounds_name_field_limit_and_value(server):
    longest = "film " * (9 * ROOM)
    too_many = ask(server, "good", longest, long="windows")
    ask_together = ask(server, *[hay("bad", 3)] * 3, long="windows")

    told = too_many.json()
    assert (too_many.status_code, told["code"]) == (422, "text_too_long")
    assert (told["field"], told["limit"], told["value"]) == ("texts[1]", 8, 12)
    assert "SIZEWISE_MAX_WINDOWS" in told["detail"]
    told = ask_together.json()
    assert (ask_together.status_code, told["code"]) == (413, "too_many_texts")
    assert (told["field"], told["limit"], told["value"]) == ("texts", 16, 18)


def test_windows_are_charged_and_counted_as_the_work_that_they_are(server):
    before = server.metrics()
    answered = ask(server, hay("awful", 3), caller="light", long="windows").json()
    refused = ask(server, "good", caller="light")
    after = server.metrics()

    assert refused.status_code == 429
    assert refused.json()["field"] == "texts_per_s"
    for name, expected in (
        ("sizewise_tokens_total", answered["usage"]["tokens"]),
        ("sizewise_texts_total", 1),
        ("sizewise_truncated_total", 0),
        ("sizewise_windowed_texts_total", 1),
        ("sizewise_windows_total", WINDOWS),
    ):
        assert total(after, name) - total(before, name) == expected


def test_of_a_pair_the_second_text_is_cut(server):
    second = hay("awful", 50)
    (found,) = ask(server, ["good", second], model="pair", long="windows").json()["results"]

    decided = found["windows"]["labels"]["positive"]
    assert "awful" in second[decided["start"] : decided["end"]]
    refused = ask(server, ["good " * 16, second], model="pair", long="windows")
    assert (refused.status_code, refused.json()["code"]) == (422, "text_too_long")
    assert "leaves no room" in refused.json()["detail"]


def test_windows_cannot_be_explained(server):
    refused = ask(server, hay("awful", 3), model="flags", explain={})
    short = ask(server, "awful film", model="flags", explain={})

    assert (refused.status_code, refused.json()["field"]) == (422, "explain")
    assert "6 windows" in refused.json()["detail"]
    assert short.status_code == 200


def test_other_protocols_take_the_familys_default_unless_they_say_truncate(server):
    text = hay("awful", 50)
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]}

    def v2(family, **parameters):
        body = {"inputs": [tensor], "parameters": parameters}
        return post(server, f"/v2/models/{family}/infer", body)

    def negative(answer):
        return answer.json()["outputs"][1]["data"][0]

    assert negative(v2("flags")) == near(sigmoid([2.0])[0])
    assert negative(v2("flags", truncate=True)) == near(0.5)
    assert negative(v2("tone", long="windows")) > 0.55
    assert v2("tone").status_code == 400
    for parameters in (
        {"long": "fold"},
        {"long": ["windows"]},
        {"long": "windows", "truncate": True},
    ):
        assert "parameters.long" in v2("tone", **parameters).text
    (hugging_face,) = post(server, "/models/flags", {"inputs": text}).json()
    assert hugging_face[0] == {"label": "negative", "score": near(sigmoid([2.0])[0])}
    cut = {"inputs": text, "parameters": {"truncation": True}}
    assert post(server, "/models/flags", cut).json()[0][0]["score"] == near(0.5)
    vllm = post(server, "/classify", {"model": "flags", "input": text}).json()
    assert vllm["data"][0]["probs"][0] == near(sigmoid([2.0])[0])
    assert post(server, "/predict", {"inputs": text}).status_code == 413


def test_a_model_of_tensors_has_no_use_for_it(server):
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}
    body = {"inputs": [tensor], "parameters": {"long": "windows"}}

    assert post(server, "/v2/models/digits/infer", body).status_code == 200


def test_a_familys_windows_are_swapped_live_and_a_broken_file_is_refused(registry):
    path = registry / "tone" / WINDOWS_NAME
    text = hay("awful", 30)
    with serving(registry, scan_ms=100, **SETTINGS, variants="tiny") as running:

        def negative():
            answer = running.classify({"texts": [text], "model": "tone"}, headers=FRESH)
            return answer.json()["results"][0]["scores"]["negative"] if answer.is_success else None

        assert negative() is None
        path.write_text('{"long": "windows", "rule": "max", "overlap": 0.1}')
        wait_for(negative)
        # The highest of each label: 0.98 and 0.5, scaled to a sum of 1.
        high = softmax([2.0, -2.0])[0]
        assert negative() == near(high / (high + 0.5))
        path.write_text('{"long": "windows", "overlap": 0.95}')
        wait_for(lambda: any(each.endswith(WINDOWS_NAME) for each in models(running)["refused"]))
        (reason,) = models(running)["refused"].values()
        assert "overlap" in reason
        assert negative() == near(high / (high + 0.5)), "the file before stays in force"
        path.unlink()
        wait_for(lambda: negative() is None)


def test_a_cascade_escalates_by_what_the_windows_say_together(tmp_path):
    registry = tmp_path / "registry"
    for variant, scale in (("tiny", 1.0), ("wide", 2.5)):
        write_bundle(tmp_path / variant, variant=variant, scale=scale, max_length=16)
        publish(tmp_path / variant, registry)
    found = {}
    with serving(registry, **SETTINGS) as running:
        variants = models(running)["models"][0]["variants"]
        write_cascade(registry, {each["variant"]: each["version"] for each in variants})
    with serving(registry, **SETTINGS) as running:
        for word in ("awful", "film"):
            texts = [" ".join([word] * WORDS)]
            answer = running.classify({"texts": texts, "long": "windows"}).json()
            found[word] = answer["results"][0]["variant"], answer["usage"]["tokens"]

    assert found == {
        "awful": ("tiny", WINDOWS * 16),
        "film": ("wide", 2 * WINDOWS * 16),  # no window is sure
    }
