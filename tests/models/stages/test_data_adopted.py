"""The texts' labels beside those of the classifier to adopt."""

import json

import pytest

from models.data.labelled import LabelSet, read_labels, read_split
from models.data.splits import SPLITS
from models.pipeline import Pipeline
from models.recipe import RecipeError, lineage
from models.runners import RUNNERS
from tests.support.tiny_architectures import write_classifier

LABELS = ("warm", "cold", "mild")
MULTI = 'problem_type = "multi_label"'
ADOPT = '[adopt]\nfolder = "classifier"\nmax_length = 32\n'

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


def rows_of(*labels, count=120):
    return [{"text": f"day {n}", "label": labels[n % len(labels)]} for n in range(count)]


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def divided(tmp_path):
    """Divides a table of rows for a classifier of `labels`; returns the folder of the data."""

    def _divided(rows, keys="", labels=LABELS):
        if not (tmp_path / "classifier").exists():
            write_classifier(tmp_path / "classifier", "bert", labels)
        write_rows(tmp_path / "days.jsonl", rows)
        recipe = tmp_path / "teacher.toml"
        recipe.write_text(f'family = "own"\n[data]\nfiles = ["days.jsonl"]\n{keys}\n{ADOPT}')
        pipeline = Pipeline(tmp_path / "build", tmp_path / "downloads", RUNNERS)
        pipeline.make(tuple(lineage(recipe)), "data")
        return tmp_path / "build/own/teacher/data"

    return _divided


def counts(folder):
    return json.loads((folder / "data.json").read_text())["counts"]


@pytest.mark.parametrize(
    ("rows", "keys", "problem_type"),
    [
        (rows_of("warm", "cold"), "", "single_label"),
        (rows_of(["warm", "cold"], [], ["cold"]), MULTI, "multi_label"),
    ],
)
def test_a_label_of_the_model_may_be_that_of_no_text(divided, rows, keys, problem_type):
    folder = divided(rows, keys)

    assert read_labels(folder) == LabelSet(LABELS, problem_type)
    assert all(counts(folder)[split]["cold"] and not counts(folder)[split]["mild"]
               for split in SPLITS)  # fmt: skip


def test_a_label_may_be_in_the_test_alone_since_nothing_is_trained_on_the_texts(divided, tmp_path):
    write_rows(tmp_path / "test.jsonl", [{"text": f"late {r['text']}", "label": r["label"]}
                                         for r in rows_of(*LABELS, count=9)])  # fmt: skip

    folder = divided(rows_of("warm", "cold"), 'splits = {test = ["test.jsonl"]}')

    assert counts(folder)["test"] == {"warm": 3, "cold": 3, "mild": 3}


def test_only_the_labels_that_the_model_lacks_are_named_with_what_can_be_done(divided):
    rows = [*rows_of("warm", "cold"), {"text": "out", "label": "odd"}]

    with pytest.raises(RecipeError) as refused:
        divided(rows)

    said = str(refused.value)
    assert said.startswith("'odd' (")
    assert "days.jsonl, line 121): not among" in said
    assert "(warm, cold, mild): give these texts one of its labels with `rename`" in said
    assert "fine-tuned, with `base` in [train]" in said
    assert "'warm'" not in said
    assert "config.json" not in said

    folder = divided(rows, 'rename = {odd = "mild"}')
    assert sum(each["mild"] for each in counts(folder).values()) == 1


def test_labels_that_only_the_recipe_has_are_refused_too(divided):
    keys = "bins = {cold = [0, 1], hot = [1, 2]}"

    with pytest.raises(RecipeError, match=r"^'hot' \(\[data\]\): not among the adopted"):
        divided([{"text": f"day {n}", "label": n % 2 / 2} for n in range(120)], keys)


@pytest.mark.parametrize(
    ("rows", "keys"),
    [(rows_of(None), 'missing = "unlabelled"'), (rows_of([]), MULTI)],
)
def test_where_no_text_has_a_label_that_is_said(divided, rows, keys):
    with pytest.raises(RecipeError, match=r"days\.jsonl: no text has a label: add texts of"):
        divided(rows, keys)


@pytest.mark.parametrize(
    ("rows", "keys"),
    [
        (rows_of(0, 2), ""),
        (rows_of(0.0, 2.0), ""),
        (rows_of("0", "2"), ""),
        (rows_of("0.0", "2.0"), ""),
        (rows_of([0], [2]), MULTI),
        (rows_of("0", "2"), f'{MULTI}\nseparator = ","'),
    ],
)
def test_numbers_are_those_of_the_model_s_labels_and_a_line_says_so(divided, capsys, rows, keys):
    folder = divided(rows, keys)

    assert read_labels(folder).names == LABELS
    labels = {row["text"]: (0, 2)[n % 2] for n, row in enumerate(rows)}
    for split in SPLITS:
        for row in read_split(folder, split):
            assert row.labels == (labels[row.text],)
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "numbers" in line]
    assert said.startswith("the labels are read as the adopted model's numbers: 0")
    assert said.endswith(" is mild")


@pytest.mark.parametrize(
    ("labels", "cells", "extra"),
    [
        (LABELS, (0, 3), "'0' (.*), '3' (.*): not among"),
        (LABELS, (0, "cold"), "^'0' (.*): not among"),
        (LABELS, (0, -1), "'-1' (.*): not among"),
        (("2", "1"), (0, 1), "^'0' (.*): not among"),
    ],
)
def test_numbers_of_no_label_or_beside_names_are_labels_that_the_model_lacks(
    divided, labels, cells, extra
):
    with pytest.raises(RecipeError, match=extra):
        divided(rows_of(*cells), labels=labels)


def test_what_the_model_tells_apart_is_not_asked_about(divided):
    folder = divided(rows_of("Sun", "sun"), labels=("Sun", "sun"))

    assert read_labels(folder).names == ("Sun", "sun")
