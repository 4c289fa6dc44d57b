import json

import numpy as np
import pytest

from models.data.labelled import (
    LabelledText,
    LabelSet,
    label_matrix,
    read_group_report,
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


def test_a_label_that_only_a_held_out_text_has_is_refused(made, tmp_path):
    held_out = [*rows_of("rain", "sun", count=9), {"text": "x", "label": "odd"}]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, held_out)))

    with pytest.raises(RecipeError, match=r"line 10: the label 'odd' occurs in test, but not in"):
        made(rows_of("sun", "rain"), 'files = ["days.jsonl"]\nsplits = {test = ["test.jsonl"]}')


@pytest.mark.parametrize(
    ("labels", "asked"),
    [
        (("Spam", "spam", "ham"), "'Spam'"),
        (("not bad", "not  bad", "bad"), "'not  bad'"),
        (("1.0", "0.0"), "'0.0'"),
    ],
)
def test_labels_that_may_be_one_are_asked_about_and_made_no_classes(made, labels, asked):
    with pytest.raises(RecipeError, match=rf"may be one.*{asked} \(.*line \d+\).*rename"):
        made(rows_of(*labels), 'files = ["days.jsonl"]')


def test_the_recipe_settles_what_was_asked(made):
    rows = rows_of("Spam", "spam", "ham", "nan")

    keys = 'files = ["days.jsonl"]\nrename = {Spam = "spam"}\nmissing = "unlabelled"'
    folder, _ = made(rows, keys)
    assert read_labels(folder).names == ("ham", "spam")
    unlabelled = set(read_unlabelled(folder))
    assert unlabelled
    assert unlabelled < {row["text"] for row in rows if row["label"] == "nan"}

    keys = 'files = ["days.jsonl"]\nlabels = ["Spam", "ham", "nan", "spam"]'
    folder, _ = made(rows, keys)
    assert read_labels(folder).names == ("Spam", "ham", "nan", "spam")


def test_all_bad_rows_of_all_tables_are_said_at_once(made, tmp_path):
    (tmp_path / "more.csv").write_text("text;label\n;sun\nday;NaN\nfine;rain\n")
    rows = rows_of("sun", "rain")
    rows[7]["text"] = " "
    rows[9]["label"] = None

    with pytest.raises(RecipeError) as caught:
        made(rows, 'files = ["days.jsonl", "more.csv"]')

    lines = str(caught.value).splitlines()
    assert lines[0] == "4 rows cannot be used:"
    assert [line.partition(", ")[2].partition(":")[0] for line in lines[1:]] == [
        "line 8", "line 10", "line 2", "line 3",
    ]  # fmt: skip


@pytest.mark.parametrize("key", ['encoding = "klingon"', 'encoding = "hex"', 'delimiter = ";;"'])
def test_keys_that_name_no_encoding_or_delimiter_are_refused(made, key):
    with pytest.raises(RecipeError, match="data"):
        made(rows_of("sun", "rain"), f'files = ["days.jsonl"]\n{key}')


def test_zero_is_a_group_and_an_empty_cell_is_none(made):
    rows = [row | {"user": n % 30} for n, row in enumerate(rows_of("sun", "rain", "snow"))]
    keys = 'files = ["days.jsonl"]\ngroup = "user"'
    folder, _ = made(rows, keys)
    texts = {row["text"] for row in rows if row["user"] == 0}
    splits = ("train", "validation", "calibration", "test")
    counts = [sum(row.text in texts for row in read_split(folder, split)) for split in splits]
    assert sorted(counts) == [0, 0, 0, len(texts)]

    for cell in (None, " ", float("nan")):
        rows[7]["user"] = cell
        with pytest.raises(RecipeError, match="line 8: empty 'user': fill in the group"):
            made(rows, keys)


def test_groups_travel_with_their_texts_into_the_splits(made):
    rows = [
        row | {"region": ["north", None, " south "][n % 3], "year": 2000 + n % 2}
        for n, row in enumerate(rows_of("sun", "rain"))
    ]
    keys = 'files = ["days.jsonl"]'
    folder, _ = made(rows, f'{keys}\ngroup_report = ["region", "year"]')

    assert read_group_report(folder) == ("region", "year")
    by_text = {row["text"]: row for row in rows}
    for split in ("train", "validation", "calibration", "test"):
        for each in read_split(folder, split):
            row = by_text[each.text]
            assert each.groups == ((row["region"] or "").strip(), str(row["year"]))

    folder, _ = made(rows, keys)
    assert read_group_report(folder) == ()
    assert "groups" not in (folder / "test.jsonl").read_text()


@pytest.mark.parametrize(
    ("cell", "said"),
    [(["north"], "is no group: write one name or number"), (None, "the column 'region' is empty")],
)
def test_a_column_that_names_no_groups_is_refused(made, cell, said):
    rows = [row | {"region": cell} for row in rows_of("sun", "rain")]
    with pytest.raises(RecipeError, match=said):
        made(rows, 'files = ["days.jsonl"]\ngroup_report = ["region"]')
