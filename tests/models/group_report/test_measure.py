"""`python -m models groups` on three bags of words; the smaller ones read the first words only."""

import csv
import json
import random
import shutil

import pytest

from models.__main__ import main
from models.robustness import answers
from serving.bundles.bundle import read_bundle, verify
from tests.support.tone_family import write_tone


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    home = tmp_path_factory.mktemp("tone")
    write_tone(home)
    return home


@pytest.fixture
def home(prepared, tmp_path, monkeypatch):
    """A working folder with the family's registry and build, and texts of two regions.

    In the south the word that decides comes late, so that the smaller variants do not read it.
    """
    shutil.copytree(prepared, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    chosen, rows = random.Random(0), []
    for number in range(400):
        label = chosen.choice(["positive", "negative"])
        word = {"positive": "good", "negative": "bad"}[label]
        plain = ["film", "plot", "film", "plot"]
        north = number % 2 == 0
        words = [word, *plain] if north else [*plain, word]
        rows.append((" ".join(words), label, "north" if north else "south", ""))
    rows += [("good film", "positive", "east", "young")] * 7
    with (tmp_path / "home" / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label", "region", "age"), *rows])
    return tmp_path / "home"


def run(*options, target="tone"):
    return main([str(each) for each in ("groups", target, "--registry", "registry", *options)])


def found(home):
    return json.loads((home / "reports" / "tone" / "groups.json").read_text())["variants"]


def measure(variant, name="accuracy", label=None):
    (column,) = variant["columns"]
    (it,) = [e for e in column["measures"] if (e["measure"], e["label"]) == (name, label)]
    return it


def test_the_gap_that_was_built_in_is_shown_and_said(home, capsys):
    before = read_bundle(home / "registry" / "tone" / "small").manifest.version
    assert run("--data", "texts.csv", "--groups", "region", "--reference", "large") == 0

    said = capsys.readouterr().out
    large, small = found(home)["large"], found(home)["small"]
    assert measure(large)["gap"]["value"] == 0.0
    # It answers all of the south alike, of which half or so is positive.
    assert measure(small)["gap"]["low"] > 0.3
    assert measure(small)["change_gap"]["low"] > 0.3
    assert measure(small, "recall", "positive")["gap"]["value"] == 1.0
    assert measure(small)["too_small"] == [{"group": "east", "n": 7}]
    assert "Too few texts to judge, of which it takes 50: east (7)." in said
    assert "small (accuracy by region)" in said
    assert said.endswith("Next: SIZEWISE_REGISTRY=registry python -m serving\n")
    bundle = read_bundle(home / "registry" / "tone" / "small")
    verify(bundle)
    assert bundle.manifest.version == before
    assert bundle.manifest.group_report.model_dump(mode="json") == small
    card = bundle.path("README.md").read_text()
    assert card.count("## Groups") == 1
    assert "| accuracy, south | 200 |" in card
    assert "python -m models groups tone" in card
    assert "## region" in (home / "reports" / "tone" / "groups.md").read_text()
    assert (home / "reports" / "tone" / "groups.png").read_bytes()[:4] == b"\x89PNG"


def test_pairs_need_no_columns_and_no_labels_and_go_into_manifest_and_card(home, capsys):
    """A bag of words that are not about persons answers both sides of each pair alike."""
    with (home / "bare.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("text",), *([f"{each} film"] for each in ["good", "bad"] * 50)]
        )
    before = read_bundle(home / "registry" / "tone" / "small").manifest.version

    assert run("--pairs", "--data", "bare.csv", "--reference", "large") == 0

    said = capsys.readouterr().out
    assert "No variant is shown to flip more than large where words are swapped." in said
    figures = json.loads((home / "reports" / "tone" / "pairs.json").read_text())["variants"]
    assert [each["swap"] for each in figures["small"]["swaps"]] == ["pronouns", "names", "places"]
    for swap in figures["large"]["swaps"]:
        assert (swap["flips"]["value"], swap["inside"], swap["excess"]) == (0.0, 0.0, None)
        assert [each["shift"]["value"] for each in swap["shifts"]] == [0.0, 0.0]
    bundle = read_bundle(home / "registry" / "tone" / "small")
    verify(bundle)
    assert bundle.manifest.version == before
    assert bundle.manifest.counterfactuals.model_dump(mode="json") == figures["small"]
    card = bundle.path("README.md").read_text()
    assert "| pronouns: she to he | 0.0 (0.0 to " in card
    assert "python -m models groups tone --pairs" in card
    assert "## names: white-sounding" in (home / "reports" / "tone" / "pairs.md").read_text()


def test_pairs_of_the_test_split_need_no_columns_either(home):
    assert run("--pairs", target="tone/small") == 0

    assert (home / "reports" / "tone" / "pairs.json").exists()
    kept = read_bundle(home / "registry" / "tone" / "medium").manifest
    assert kept.counterfactuals is None


def test_the_columns_of_the_recipe_are_those_of_the_test_split(home, capsys):
    data = home / "build" / "tone" / "large" / "data"
    assert run() == 2
    assert "no columns of groups: list some as `group_report`" in capsys.readouterr().err

    about = json.loads((data / "data.json").read_text()) | {"group_report": ["region", "age"]}
    (data / "data.json").write_text(json.dumps(about))
    rows = [json.loads(line) for line in (data / "test.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        row["groups"] = [("north", "south")[number % 2], "old"]
    (data / "test.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert run("--groups", "region") == 0
    assert [each["n"] for each in measure(found(home)["large"])["groups"]] == [250, 250]

    assert run("--groups", "income") == 2
    assert "'income' is none of the columns in `group_report` (region, age)" in (
        capsys.readouterr().err
    )


def test_what_was_answered_is_not_asked_again(home, monkeypatch):
    assert run("--data", "texts.csv", "--groups", "region") == 0
    first = found(home)

    def fail(_):
        raise AssertionError("a bundle was loaded")

    monkeypatch.setattr(answers, "Predictor", fail)
    assert run("--data", "texts.csv", "--groups", "region") == 0
    assert found(home) == first


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--data", "texts.csv"), "--data needs --groups"),
        (("--pairs", "--groups", "region"), "--pairs takes no --groups"),
        (("--data", "texts.csv", "--groups", "income"), "no column 'income'"),
        (("--data", "ids.csv", "--groups", "id"), "120 different groups, at most 100"),
        (("--data", "ids.csv", "--groups", "none"), "the column 'none' is empty"),
        (("--data", "ids.csv", "--groups", "long"), "a group's name has 201 characters"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(home, capsys, options, said):
    rows = [("good", "positive", number, "", "x" * 201) for number in range(120)]
    with (home / "ids.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label", "id", "none", "long"), *rows])

    assert run(*options) == 2
    assert said in capsys.readouterr().err
