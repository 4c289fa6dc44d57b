"""Several labels in a cell of a table."""

from dataclasses import replace
from pathlib import Path

import pytest

from models.compression.user_texts import (
    check_whole,
    columns,
    location_in,
    read_user_texts,
    text_column,
)
from models.compression.wanted import Wanted
from models.recipe import RecipeError

ROWS = 'text,topics\nfirst,"sport; politics"\nsecond,sport\nthird,\n'


def wanted(table, **fields):
    here = Path("recipes")
    return Wanted("source", (table,), "mood", here, here, label="topics", **fields)


@pytest.mark.parametrize(
    ("separator", "labels", "problem_type"),
    [
        (None, {"sport; politics": 1, "sport": 1}, "single_label"),
        ("", {"sport; politics": 1, "sport": 1}, "single_label"),
        (";", {"sport": 2, "politics": 1}, "multi_label"),
    ],
)
def test_a_separator_divides_a_cell(tmp_path, separator, labels, problem_type):
    table = tmp_path / "texts.csv"
    table.write_text(ROWS)

    found = read_user_texts(wanted(table, separator=separator))

    assert (found.labels, found.problem_type) == (labels, problem_type)


def test_a_column_of_labels_that_is_named_has_some(tmp_path):
    table = tmp_path / "texts.csv"
    table.write_text("text,topics\nfirst,\n")

    with pytest.raises(RecipeError, match="--label topics: no row has a label in this column"):
        read_user_texts(wanted(table))


@pytest.mark.parametrize(
    ("missing", "unlabelled_rows", "keys"),
    [("refuse", 0, {}), ("unlabelled", 3, {"missing": "unlabelled"})],
)
def test_a_row_without_a_label_is_no_class_and_a_text_without_one_where_that_is_wanted(
    tmp_path, missing, unlabelled_rows, keys
):
    table = tmp_path / "texts.csv"
    table.write_text("text,topics\nfirst,sport\nsecond,\nthird,nan\nfourth,NaN\n")
    options = wanted(table, missing=missing)

    found = read_user_texts(options)

    assert found.labels == {"sport": 1}
    assert found.unlabelled_rows == unlabelled_rows
    assert found.texts == ["first", "second", "third", "fourth"][: 4 - unlabelled_rows]
    read = columns(options, is_labelled=True, separator=None)
    assert read == {"label": "topics"} | keys


def test_a_file_without_the_column_of_the_labels_is_named(tmp_path, capsys):
    tables = [tmp_path / "labelled.csv", tmp_path / "other.csv"]
    for table, header in zip(tables, ("text,topics", "text,Topics"), strict=True):
        table.write_text(f"{header}\nfirst,sport\n")

    found = read_user_texts(replace(wanted(tables[0]), data=tuple(tables)))

    assert (found.labelled, found.unlabelled) == ((tables[0],), (tables[1],))
    said = capsys.readouterr().out
    assert "no column 'topics', only 'text', 'Topics': its texts count as unlabelled" in said


def test_a_first_row_without_a_label_makes_no_other_row_unlabelled(tmp_path):
    table = tmp_path / "texts.jsonl"
    table.write_text('{"text": "first"}\n{"text": "second", "topics": "sport"}\n')

    assert read_user_texts(wanted(table)).labels == {"sport": 1}


def test_texts_without_labels_have_no_separator(tmp_path):
    table = tmp_path / "texts.csv"
    table.write_text("text\nfirst\n")
    options = wanted(table, separator=";")

    assert read_user_texts(replace(options, label=None)).problem_type == "single_label"
    assert columns(options, is_labelled=False, separator=";") == {}
    assert columns(options, is_labelled=True, separator=";") == {
        "label": "topics",
        "separator": ";",
    }


@pytest.mark.parametrize(
    ("labels", "separator"),
    [
        (["a", "b", "a,b"], ","),
        (["a;b", "b; c", "a;c"], ";"),
        (["sport|politics", "sport", "politics"], "|"),
    ],
)
def test_labels_that_look_like_several_are_asked_about(labels, separator):
    with pytest.raises(RecipeError, match=r"looks like several: add --separator") as raised:
        check_whole(labels)
    assert f"--separator {separator!r}, or --separator ''" in str(raised.value)


@pytest.mark.parametrize("labels", [["Books, Films", "Music"], ["good", "bad"], ["a,b"], []])
def test_names_with_a_comma_stay_whole(labels):
    check_whole(labels)


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("comment", "comment"),
        ("comment,topics", "comment"),
        ("topics;comment", "comment"),
        ("comment,text", "text"),
        ("id;comment;topics", "text"),
    ],
)
def test_the_only_column_that_can_be_the_texts_need_not_be_named(tmp_path, header, column):
    table = tmp_path / "texts.csv"
    table.write_text(f"{header}\n")

    label = "topics" if "topics" in header else None
    assert text_column(replace(wanted(table), label=label)) == column


def test_columns_are_named_apart_where_none_of_them_is_the_texts(tmp_path):
    table = tmp_path / "texts.csv"
    table.write_text("id;comment;topics\n1;first;sport\n")

    with pytest.raises(RecipeError, match="no column 'text', only 'id', 'comment', 'topics'"):
        read_user_texts(wanted(table))


def test_a_recipe_names_a_link_by_the_user_s_name_from_where_its_folder_is(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs/0a1b").write_text("text\nfirst\n")
    table = tmp_path / "texts.csv"
    table.symlink_to("blobs/0a1b")
    (tmp_path / "deep/recipes").mkdir(parents=True)
    recipes = tmp_path / "recipes"
    recipes.symlink_to("deep/recipes")

    location = location_in(recipes, table)

    assert location == "../../texts.csv"
    assert (recipes / location).read_text() == table.read_text()
    assert location_in(tmp_path, tmp_path / "deep/..") == "."


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"label": "topic"}, "--label topic: .*texts.csv has only 'comment', 'topics'"),
        ({"group": "author"}, "--group author: .*texts.csv has only 'comment', 'topics'"),
    ],
)
def test_it_is_the_column_that_was_named_wrongly_that_is_missing(tmp_path, columns, says):
    table = tmp_path / "texts.csv"
    table.write_text("comment,topics\nfirst,sport\n")

    with pytest.raises(RecipeError, match=says):
        text_column(replace(wanted(table), **columns))
