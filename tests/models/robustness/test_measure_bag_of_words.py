"""A known truth: `stress` finds no flip by the order of words in a bag of words.

Two static classifiers go the whole way from a recipe to the registry. One has no products of near
tokens, so its answer is a function of the mean of its tokens' embeddings; the other has them.
"""

import json
import random
from itertools import product

import pytest

from models.__main__ import main
from models.training import static_classifier
from serving.bundles.bundle import read_bundle
from serving.inference.tokenizer import Tokenizer

ROOT = """
family = "tone"
[data]
files = ["texts.jsonl"]
validation_share = 0.2
calibration_share = 0.1
test_share = 0.3
[static]
max_length = 32
vocabulary = "learnt"
vocabulary_words = 120
width = 16
epochs = 25
learning_rate = 1e-2
batch_texts = 16
[evaluate]
allow_below_baseline = true
"""
QUANTISED = """
family = "tone"
parent = "static-fp32"
[quantize]
max_accuracy_drop = 0.2
[evaluate]
allow_below_baseline = true
"""
NOUNS = ("film", "book", "phone", "camera", "hotel", "game", "meal")
STARTS = ("what", "such", "truly", "really")
GOOD, BAD = ("good", "kind", "fast", "fresh"), ("dull", "slow", "stale", "rude")

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


def write_texts(folder):
    """Half of the texts say what they are by a word alone, the others by which follows `not`."""
    sides, rows = ((GOOD, BAD, "positive"), (BAD, GOOD, "negative")), []
    for noun, (words, opposite, label) in product(NOUNS, sides):
        for word in words:
            rows += [(f"{start} a {word} {noun}", label) for start in STARTS]
            rows += [(f"the {noun} is not {each} but {word}", label) for each in opposite]
    random.Random(0).shuffle(rows)
    lines = (json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
    (folder / "texts.jsonl").write_text("".join(lines))
    (folder / "static-fp32.toml").write_text(ROOT)
    (folder / "static-int8.toml").write_text(QUANTISED)


def stressed(home):
    """Build the family in a working folder and stress it; the figures by variant and condition."""
    (home / "recipes").mkdir(parents=True)
    write_texts(home / "recipes")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(home)
        assert main(["all", "recipes"]) == 0
        kinds = ("word-order", "typos", "frames")
        registry = ("--registry", "build/registry")
        assert main(["stress", "tone", *registry, "--kinds", *kinds, "--queries", "0"]) == 0
    return json.loads((home / "reports" / "tone" / "stress.json").read_text())["variants"]


def flips(variant):
    return {(each["kind"], each["strength"]): each["flips"] for each in variant["conditions"]}


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """The working folder and figures of a family without products of near tokens."""
    home = tmp_path_factory.mktemp("bag")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(static_classifier, "_REACH", 0)
        return home, stressed(home)


def test_a_bag_of_words_flips_under_no_order_of_the_words(bag):
    home, variants = bag
    bundle = read_bundle(home / "build" / "registry" / "tone" / "static-fp32")
    texts = [json.loads(line)["text"] for line in (home / "recipes/texts.jsonl").open()]
    lengths = [len(each.ids) for each in Tokenizer(bundle.tokenizer_path, 10_000).encode(texts)]
    # In a longer text the order would say what is cut off.
    assert max(lengths) <= bundle.manifest.max_length

    for name in ("static-fp32", "static-int8"):
        found = flips(variants[name])
        for strength in (0.3, 1.0):
            assert found["word-order", strength]["value"] == 0.0
            assert found["word-order", strength]["high"] < 0.1
        assert found["typos", 0.3]["low"] > 0.0
        assert found["frames", 2.0]["value"] > 0.0
        # It knows nothing of the half of the texts that say all by their order.
        assert 0.6 < variants[name]["accuracy"]["value"] < 0.9


def test_the_same_classifier_flips_once_it_reads_near_words_together(tmp_path):
    variants = stressed(tmp_path / "near")

    for name in ("static-fp32", "static-int8"):
        assert variants[name]["accuracy"]["value"] > 0.9
        assert flips(variants[name])["word-order", 1.0]["low"] > 0.05
