"""`python -m models stress` on three bags of words; the smaller ones read the first words only."""

import csv
import json
import re
import shutil

import numpy as np
import pytest

from models.__main__ import main
from models.data.labelled import read_split
from models.evaluation.predictions import Predictor
from models.perturbations.kinds import perturbed
from models.published.publishing import publish_made
from models.robustness import answers
from serving.bundles.bundle import read_bundle, verify
from serving.bundles.registry import publish
from tests.support.bundles import WEIGHTS, write_bundle, write_tensor_bundle
from tests.support.tone_family import write_tone

KEEPS_WORDS = ("word-order", "case", "whitespace", "appended")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    home = tmp_path_factory.mktemp("tone")
    write_tone(home)
    write_bundle(home / "pairs", family="pairs", pairs=True)
    publish(home / "pairs", home / "registry")
    write_tensor_bundle(home / "digits")
    publish(home / "digits", home / "registry")
    return home


@pytest.fixture
def home(prepared, tmp_path, monkeypatch):
    """A working folder with the family's registry and build."""
    shutil.copytree(prepared, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def run(*options, target="tone"):
    return main([str(each) for each in ("stress", target, "--registry", "registry", *options)])


def found(home, family="tone"):
    return json.loads((home / "reports" / family / "stress.json").read_text())["variants"]


def by_kind(variant):
    return {(each["kind"], each["strength"]): each for each in variant["conditions"]}


def test_a_bag_of_words_flips_by_no_kind_that_keeps_its_words_and_one_that_reads_two_does(
    home, capsys
):
    assert run("--kinds", *KEEPS_WORDS, "--queries", "0", "--reference", "large") == 0

    said = capsys.readouterr().out
    large, medium, small = (by_kind(found(home)[name]) for name in ("large", "medium", "small"))
    assert len(large) == 8
    for condition, each in large.items():
        assert each["flips"]["value"] == each["flips"]["low"] == 0.0
        assert each["gap"] is None
        assert (medium[condition]["gap"]["value"] == 0) or condition[0] == "word-order"
    assert found(home)["small"]["largest_drop"] is None  # other kinds were not tried
    worst = small["word-order", 1.0]
    assert worst["flips"]["low"] > 0.1
    assert worst["gap"]["low"] > 0.0
    assert re.search(
        r"^Shown to lose more than large: .*small under .*word-order \(100 %", said, re.MULTILINE
    )
    assert 'augmented_by = ["word-order"]' in said
    assert said.endswith("Next: SIZEWISE_REGISTRY=registry python -m serving\n")


def test_the_gap_that_was_built_in_is_within_its_interval(home):
    """Truth is the mean over twenty other orders of the words, of all texts."""
    assert run("--kinds", "word-order", "--queries", "0", "--reference", "large") == 0
    rows = read_split(home / "build" / "tone" / "large" / "data", "test")
    right = {}
    for name in ("large", "small"):
        predictor = Predictor(read_bundle(home / "registry" / "tone" / name))

        def accuracy(texts, predictor=predictor):
            answers = predictor.logits(texts, 64, shown=False).argmax(axis=1)
            return np.mean([a == row.labels[0] for a, row in zip(answers, rows, strict=True)])

        texts = [row.text for row in rows]
        moved = [accuracy(perturbed(texts, "word-order", 1.0, seed)) for seed in range(1, 21)]
        right[name] = accuracy(texts) - np.mean(moved)

    gap = by_kind(found(home)["small"])["word-order", 1.0]["gap"]
    assert right["large"] == pytest.approx(0.0)
    assert right["small"] > 0.05
    assert gap["low"] <= right["small"] <= gap["high"]


def test_all_kinds_are_in_report_plot_manifest_and_card_of_the_version_that_stays(home, capsys):
    before = read_bundle(home / "registry" / "tone" / "small").manifest.version
    assert run("--texts", "100", "--searched", "20", "--queries", "60", "--reference", "large") == 0

    said = capsys.readouterr().out
    bundle = read_bundle(home / "registry" / "tone" / "small")
    verify(bundle)
    robustness, card = bundle.manifest.robustness, bundle.path("README.md").read_text()
    assert bundle.manifest.version == before
    assert (robustness.reference, robustness.n, robustness.variants) == ("large", 100, 3)
    assert len(robustness.conditions) == 26
    largest = robustness.largest_drop
    (its,) = [
        e for e in robustness.conditions if (e.kind, e.strength) == (largest.kind, largest.strength)
    ]
    lost = robustness.accuracy.value - its.accuracy.value
    assert largest.drop.value == pytest.approx(lost, abs=2e-5)
    assert "may cost most accuracy" in card
    # Numbers are no part of what these texts have, nor are capitals of what the bundle reads.
    assert all(each.altered > 0.5 for each in robustness.conditions)
    for each in robustness.conditions:
        row = f"| {each.kind}, "
        assert row in card
        assert row in said
        assert f"{100 * each.accuracy.value:.1f} ({100 * each.accuracy.low:.1f}" in card
    assert card.count("## Robustness") == 1
    assert "python -m models stress tone --texts 100" in card
    tables = (home / "reports" / "tone" / "stress.md").read_text()
    assert "## Compression gap: accuracy lost beyond what large loses, points" in tables
    assert (home / "reports" / "tone" / "stress.png").read_bytes()[:4] == b"\x89PNG"
    # No pair is told from its negation by words without weights.
    assert (robustness.negations.pairs, robustness.negations.flipped) == (100, 0.0)
    assert "Negations: 100 pairs" in tables


def test_the_search_flips_all_that_a_changed_letter_can_and_no_more(home):
    """A word that is not known weighs nothing, and a text without weights is negative."""
    words = [word for word, weight in WEIGHTS.items() if weight > 0]
    good = [f"{a} {b} film" for a in words for b in words]
    bad = ["awful film", "bad film", "awful bad plot"]
    rows = [*((text, "positive") for text in good), *((text, "negative") for text in bad)]
    with (home / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])

    assert run("--data", "texts.csv", "--kinds", "emoji", target="tone/large") == 0
    (large,) = [each for name, each in found(home).items() if name == "large"]
    assert large["worst_case"]["n"] == len(rows)
    assert large["worst_case"]["flipped"]["value"] == pytest.approx(len(good) / len(rows), abs=1e-5)

    assert (
        run("--data", "texts.csv", "--kinds", "emoji", "--queries", "2", target="tone/large") == 0
    )
    assert found(home)["large"]["worst_case"]["flipped"]["value"] < len(good) / len(rows)


def test_what_was_answered_is_not_asked_again_and_a_killed_run_goes_on(home, monkeypatch):
    asked = []

    class Counting(Predictor):
        def logits(self, texts, *others, **named):
            asked.append(len(texts))
            if len(asked) == 5:
                raise KeyboardInterrupt
            return super().logits(texts, *others, **named)

    monkeypatch.setattr(answers, "Predictor", Counting)
    options = ("--kinds", "case", "word-order", "--texts", "50", "--searched", "5")
    assert run(*options) == 130
    assert run(*options) == 0
    first = found(home)
    # Of 3 variants, the 5 sets of texts of the kinds were asked for once, but for the one killed.
    assert asked[:16] == [50] * 16
    del asked[:]

    assert run(*options) == 0
    assert asked == []
    assert found(home) == first


def test_what_is_made_again_keeps_the_figures_of_its_version(home, tmp_path):
    assert run("--kinds", "case", "--queries", "0") == 0
    folder = home / "registry" / "tone" / "small"
    measured = read_bundle(folder).manifest.robustness
    write_bundle(tmp_path / "same", variant="small", accuracy=0.81, max_length=4)
    write_bundle(tmp_path / "other", variant="small", accuracy=0.81, max_length=5)

    assert publish_made(tmp_path / "same", home / "registry").manifest.robustness == measured
    assert publish_made(tmp_path / "other", home / "registry").manifest.robustness is None


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("mood", (), "has no family 'mood'"),
        ("tone/huge", (), "has no variant 'huge'"),
        ("tone", ("--reference", "huge"), "has no variant 'huge': name one of"),
        ("pairs", (), "reads pairs"),
        ("digits", ("--data", "empty.csv"), "reads tensors"),
        ("tone", ("--data", "empty.csv"), "empty.csv has no rows"),
        ("tone", ("--data", "none.csv"), "none.csv does not exist"),
        ("tone", ("--data", "odd.csv"), "'odd' is not one of the family's labels"),
        ("tone", ("--data", "digits.csv", "--kinds", "typos"), "none of these kinds alters any"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(home, capsys, target, options, said):
    (home / "empty.csv").write_text("text,label\n")
    (home / "odd.csv").write_text("text,label\ngood,odd\n")
    (home / "digits.csv").write_text("text,label\n12 3,positive\n4,positive\n")

    assert run(*options, target=target) == 2
    assert said in capsys.readouterr().err


def test_a_family_whose_build_is_elsewhere_asks_for_texts(home, capsys):
    shutil.rmtree(home / "build")

    assert run() == 2
    assert "or name labelled texts with --data" in capsys.readouterr().err


def test_labels_that_a_model_gave_say_nothing_of_accuracy(home, capsys):
    data = home / "build" / "tone" / "large" / "data" / "data.json"
    about = json.loads(data.read_text()) | {"truth": "teacher"}
    data.write_text(json.dumps(about))

    assert run() == 2
    assert "a model's answers for labels" in capsys.readouterr().err
