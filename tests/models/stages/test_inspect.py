"""What the stage `inspect` says of hostile data, before anything is trained."""

import json

import pytest

from models.pipeline import Pipeline
from models.recipe import lineage
from models.runners import RUNNERS
from tests.support.chinese_recipes import write_chinese
from tests.support.tiny_models import BAD, GOOD, NOUNS, write_base

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves
RECIPE = """
family = "own"
[data]
files = ["days.jsonl"]
validation_share = 0.2
calibration_share = 0.1
test_share = 0.2
{keys}
[train]
base = "base"
epochs = 1
learning_rate = 1e-3
max_length = 12
"""


def seen(recipe, capsys):
    pipeline = Pipeline(recipe.parent / "build", recipe.parent, RUNNERS)
    for stage in ("data", "inspect"):
        capsys.readouterr()
        pipeline.make(tuple(lineage(recipe)), stage)
    folder = pipeline.folder(lineage(recipe)[0], "inspect")
    return json.loads((folder / "inspection.json").read_text()), capsys.readouterr().out


@pytest.fixture
def inspected(tmp_path, capsys):
    def _inspected(rows, keys=""):
        write_base(tmp_path / "base")
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (tmp_path / "days.jsonl").write_text("".join(lines), encoding="utf-8")
        (tmp_path / "teacher.toml").write_text(RECIPE.format(keys=keys))
        return seen(tmp_path / "teacher.toml", capsys)

    return _inspected


def reviews(count, share=0.5):
    """Reviews whose word says the label; a share of them is good."""
    good = [number % 20 < 20 * share for number in range(count)]
    return [
        {
            "text": f"the {NOUNS[n % len(NOUNS)]} {n} was {(GOOD if it else BAD)[n % 6]}",
            "label": "good" if it else "bad",
        }
        for n, it in enumerate(good)
    ]


def test_the_table_and_the_file_say_the_same_of_balance_repeats_and_lengths(inspected, tmp_path):
    rows = reviews(200, share=0.75)
    long = {"text": "the film was " + "a dull plot " * 20, "label": "bad"}
    twice = {"text": rows[0]["text"].upper(), "label": rows[0]["label"]}
    torn = [{"text": "so so", "label": label} for label in ("good", "bad")]

    found, said = inspected([*rows, long, twice, *torn])

    assert found["rows"] == {"all": 204, "repeated": 1, "contradictory": 2}
    assert sum(found["texts"].values()) == 201
    assert found["labels"] == {"bad": 51, "good": 150}
    assert found["tokens"]["longest"] > 60 > found["tokens"]["median"]
    assert found["tokens"]["cut"] == pytest.approx(1 / 201)
    assert found["unknown_tokens"] < 0.05
    made = json.loads((tmp_path / "build/own/teacher/data/data.json").read_text())
    good, bad = (made["counts"]["validation"][name] for name in ("good", "bad"))
    assert found["baselines"]["validation"]["majority"]["value"] == good / (good + bad)
    assert found["baselines"]["test"]["bag of words"]["value"] > 0.9
    assert "| rarest label | bad: 51 (25.4%) |" in said
    assert "| labelled rows, contradictory | 2 |" in said


def test_a_vocabulary_that_does_not_know_the_texts_is_told_and_the_bag_of_words_does(inspected):
    rows = [
        {"text": f"第{n}天天气{'很好' if n % 2 else '不好'}", "label": "ja" if n % 2 else "nein"}
        for n in range(200)
    ]

    found, said = inspected(rows)

    assert found["unknown_tokens"] > 0.6
    assert f"| tokens that the vocabulary does not know | {found['unknown_tokens']:.1%} |" in said
    assert found["baselines"]["validation"]["bag of words"]["value"] > 0.95


def test_several_labels_are_inspected_alike(inspected):
    rows = [row | {"label": [row["label"], "all"]} for row in reviews(200)]
    rows += [{"text": f"nothing {n}", "label": []} for n in range(10)]

    found, _ = inspected(rows, 'problem_type = "multi_label"')

    assert found["labels"] == {"all": 200, "bad": 100, "good": 100}
    accuracies = found["baselines"]["validation"]
    assert accuracies["majority"]["value"] < 0.8 < accuracies["bag of words"]["value"]


def test_before_a_vocabulary_is_learnt_lengths_are_in_characters(tmp_path, capsys):
    recipes = write_chinese(tmp_path / "recipes")

    found, said = seen(recipes / "static-fp32.toml", capsys)

    assert found["tokens"] is None
    assert found["unknown_tokens"] is None
    assert 5 <= found["characters"]["median"] <= found["characters"]["longest"] < 12
    assert "tokens" not in said
