import json

import numpy as np
import pytest

from models.data.labelled import (
    LabelledText,
    LabelSet,
    label_matrix,
    read_labels,
    read_split,
    read_unlabelled,
)
from models.pipeline import Pipeline
from models.recipe import RecipeError, lineage
from models.runners import RUNNERS

TRAIN = """
[train]
base = "base"
epochs = 1
learning_rate = 1e-3
max_length = 32
"""


@pytest.fixture
def made(tmp_path):
    """Runs the data stage on a table of rows; returns its folder and whether it ran."""

    def _made(rows, data, file_name="days.jsonl"):
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (tmp_path / file_name).write_text("".join(lines), encoding="utf-8")
        (tmp_path / "teacher.toml").write_text(f'family = "own"\n[data]\n{data}\n{TRAIN}')
        pipeline = Pipeline(tmp_path / "build", tmp_path / "downloads", RUNNERS)
        ran = pipeline.make(tuple(lineage(tmp_path / "teacher.toml")), "data")
        return tmp_path / "build" / "own" / "teacher" / "data", ran

    return _made


def rows_of(*labels, count=150):
    return [
        {"text": f"\u7b2c{n}\u5929, day {n}", "label": labels[n % len(labels)]}
        for n in range(count)
    ]


def test_single_labels_are_sorted_and_counted_by_split(made, capsys):
    folder, _ = made(rows_of("sun", "rain", "\u96ea"), 'files = ["days.jsonl"]')

    assert read_labels(folder) == LabelSet(("rain", "sun", "\u96ea"), "single_label")
    about = json.loads((folder / "data.json").read_text())
    train = read_split(folder, "train")
    assert about["counts"]["train"]["sun"] == sum(row.labels == (1,) for row in train)
    assert sum(sum(counts.values()) for counts in about["counts"].values()) == 150
    assert f"train: {len(train)} texts" in capsys.readouterr().out


def test_several_labels_or_none_belong_to_a_text(made):
    rows = rows_of(["sun", "rain"], [], ["sun"])

    folder, _ = made(rows, 'files = ["days.jsonl"]\nproblem_type = "multi_label"')

    labels = read_labels(folder)
    assert labels == LabelSet(("rain", "sun"), "multi_label")
    assert {row.labels for row in read_split(folder, "train")} == {(0, 1), (), (1,)}


def test_targets_are_a_matrix_of_texts_and_labels():
    rows = [LabelledText("one", (0, 2)), LabelledText("two", ()), LabelledText("three", (1,))]

    matrix = label_matrix(rows, LabelSet(("a", "b", "c"), "multi_label"))

    assert matrix.dtype == np.bool_
    assert matrix.tolist() == [[True, False, True], [False, False, False], [False, True, False]]


def test_a_rating_in_no_bin_is_unlabelled_text(made):
    rows = rows_of(-2, 2, 0)
    data = 'files = ["days.jsonl"]\nbins = { cold = [-3, -1], warm = [1, 3] }'

    folder, _ = made(rows, data)

    assert read_labels(folder).names == ("cold", "warm")
    unlabelled = read_unlabelled(folder)
    assert unlabelled
    assert set(unlabelled) <= {row["text"] for row in rows if row["label"] == 0}


def test_the_recipe_decides_the_labels_order_and_the_columns(made):
    rows = [{"satz": row["text"], "ton": row["label"]} for row in rows_of("gut", "schlecht")]
    data = 'files = ["days.jsonl"]\ntext = "satz"\nlabel = "ton"\nlabels = ["schlecht", "gut"]'

    folder, _ = made(rows, data)

    assert read_labels(folder).names == ("schlecht", "gut")


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(made):
    rows = rows_of("sun", "rain")

    assert made(rows, 'files = ["days.jsonl"]')[1]
    assert not made(rows, 'files = ["days.jsonl"]')[1]
    assert made(rows[:-1], 'files = ["days.jsonl"]')[1]


def test_a_label_that_only_a_held_out_text_has_is_refused(made):
    rows = [*rows_of("sun", "rain"), *({"text": f"x{n}", "label": f"odd {n}"} for n in range(9))]

    with pytest.raises(
        RecipeError, match=r"line \d+: the label 'odd \d' occurs in .*, but not in train"
    ):
        made(rows, 'files = ["days.jsonl"]')
