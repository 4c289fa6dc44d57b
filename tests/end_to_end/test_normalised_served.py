"""A family that normalises, from its recipe to what a real server answers and points to."""

import itertools
import json

import httpx
import pytest

from models.pipeline import Pipeline
from models.recipe import lineage
from models.runners import RUNNERS
from serving.bundles.registry import publish
from tests.support.processes import serving
from tests.support.tiny_models import BAD, GOOD, NOUNS

KINDS = ["invisible", "nfkc", "confusables"]
RECIPE = """
family = "tone"
[data]
files = ["texts.jsonl"]
validation_share = 0.2
calibration_share = 0.1
test_share = 0.2
[static]
max_length = 16
normalize = ["invisible", "nfkc", "confusables"]
vocabulary = "learnt"
vocabulary_words = 120
width = 16
epochs = 20
learning_rate = 1e-2
batch_texts = 16
"""
PLAIN = "the camera was superb, a warm film."
# A soft hyphen, letters of Cyrillic and Greek, fullwidth letters, and a space of no width.
DISGUISED = "the cam\u00adera w\u0430s s\u03c5p\u0435rb, a \uff57\uff41\uff52\uff4d fi\u200blm."

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("normalised")
    rows = [
        {"text": f"the {noun} was {first}, a {second} film.", "label": label}
        for label, words in (("positive", GOOD), ("negative", BAD))
        for noun, first, second in itertools.product(NOUNS, words, words)
    ]
    (scratch / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (scratch / "static-fp32.toml").write_text(RECIPE)
    pipeline = Pipeline(scratch / "build", scratch, RUNNERS)
    ancestors = tuple(lineage(scratch / "static-fp32.toml"))
    for stage in ancestors[-1].stages:
        pipeline.make(ancestors, stage)
    publish(pipeline.folder(ancestors[-1], "package"), scratch / "registry")
    with serving(scratch / "registry") as running:
        yield running


def answers(server, *texts, **more):
    response = server.classify({"texts": texts, **more})
    return response.json()["results"]


def test_a_disguised_text_is_answered_as_the_plain_one(server):
    plain, disguised = answers(server, PLAIN, DISGUISED)

    assert plain["label"] == "positive"
    assert disguised["scores"] == plain["scores"]
    (other,) = answers(server, PLAIN.replace("superb", "dull").replace("warm", "dull"))
    assert other["label"] == "negative"


def test_models_says_how_texts_are_normalised(server):
    (family,) = httpx.get(f"{server.url}/v1/models").json()["models"]

    assert [each["normalize"] for each in family["variants"]] == [KINDS]


def test_explained_words_are_those_of_the_text_as_sent(server):
    (plain, disguised) = (
        answers(server, text, explain={"method": "occlusion", "top": 20})[0]["explanation"]
        for text in (PLAIN, DISGUISED)
    )

    sent = {DISGUISED[each["start"] : each["end"]] for each in disguised["words"]}
    assert {"s\u03c5p\u0435rb", "\uff57\uff41\uff52\uff4d", "fi\u200blm"} <= sent
    contributions = [
        [each["contribution"] for each in sorted(found["words"], key=lambda each: each["start"])]
        for found in (plain, disguised)
    ]
    assert contributions[0] == pytest.approx(contributions[1], abs=1e-6)


def test_windows_point_into_the_text_as_sent(server):
    plain = f"{'the film was film. ' * 5}{PLAIN}{' the film was film.' * 5}"
    hidden = plain.replace(PLAIN, DISGUISED).replace("film was", "f\u200bil\u200bm w\u0430s")

    found = answers(server, plain, hidden, long="windows")

    assert found[0]["windows"]["count"] == found[1]["windows"]["count"] > 2
    assert found[0]["scores"] == found[1]["scores"]
    spans = [each["windows"]["labels"]["positive"] for each in found]
    parts = [
        text[span["start"] : span["end"]] for text, span in zip((plain, hidden), spans, strict=True)
    ]
    assert "superb" in parts[0]
    assert "s\u03c5p\u0435rb" in parts[1]
    assert len(parts[1].split()) == len(parts[0].split())
    first, second = answers(server, *parts)
    assert first["scores"] == second["scores"]
