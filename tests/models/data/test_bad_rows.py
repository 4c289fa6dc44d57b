"""All rows that cannot be used are said at once, at most twenty of them."""

import json

import pytest

from models.data.bad_rows import BadRows, RowError
from models.data.readers import read_rows, text_in
from models.data.sources import Source
from models.recipe import RecipeError


def text_of(row):
    return text_in(row.cells["text"], row.where)


def said(path, columns=("text", "label")):
    bad = BadRows()
    usable = list(read_rows(Source(path), columns, text_of, bad))
    with pytest.raises(RecipeError) as caught:
        bad.check()
    return usable, str(caught.value).splitlines()


def test_bad_rows_of_a_csv_file_are_said_together_and_the_others_are_read(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text('text,label\n"two\nlines",good\na,b,c\n,bad\nfine,good\nshort\n')

    usable, lines = said(path)

    assert usable == ["two\nlines", "fine"]
    assert lines[0] == "3 rows cannot be used:"
    assert [line.removeprefix(f"{path}, line ").split(":")[0] for line in lines[1:]] == [
        "4", "5", "7",
    ]  # fmt: skip


def test_of_json_lines_too(tmp_path):
    path = tmp_path / "own.jsonl"
    rows = [json.dumps({"text": "fine", "label": "good"})] * 2
    path.write_text("\n".join([rows[0], "{", "[]", '{"text": "no label"}', rows[1]]))

    usable, lines = said(path)

    assert usable == ["fine", "fine"]
    assert [line.split(" is ")[0].split(" has ")[0] for line in lines[1:]] == [
        f"{path}, line {number}" for number in (2, 3, 4)
    ]


def test_a_column_that_the_first_row_lacks_is_the_recipes_fault(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text('{"body": "a"}\n{"body": "b"}\n')

    with pytest.raises(RecipeError, match="line 1 has no column 'text'"):
        list(read_rows(Source(path), ["text"], text_of, BadRows()))


@pytest.mark.parametrize(("count", "rest"), [(2, None), (20, None), (21, "and 1 more"),
                                             (3_000, "and 2,980 more")])  # fmt: skip
def test_at_most_twenty_are_shown(count, rest):
    bad = BadRows()
    for number in range(count):
        bad.add(RowError(f"row {number}"))

    with pytest.raises(RecipeError) as caught:
        bad.check()

    lines = str(caught.value).splitlines()
    assert lines[0] == f"{count:,} rows cannot be used:"
    assert lines[1:21] == [f"row {number}" for number in range(min(count, 20))]
    assert lines[21:] == ([rest] if rest else [])


def test_what_all_rows_have_in_common_is_said_once():
    bad = BadRows()
    for number in range(25):
        bad.add(RowError(f"a.csv, line {number}: no label ({number % 2}): fill it in (see: guide)"))

    with pytest.raises(RecipeError) as caught:
        bad.check()

    lines = str(caught.value).splitlines()
    assert lines[1:3] == ["a.csv, line 0: no label (0)", "a.csv, line 1: no label (1)"]
    assert lines[-2:] == ["and 5 more", "each of them: fill it in (see: guide)"]


def test_one_row_is_one_sentence_and_none_is_none():
    bad = BadRows()
    bad.check()
    bad.add(RowError("row 7: empty"))

    with pytest.raises(RecipeError, match=r"^row 7: empty$"):
        bad.check()
