"""Encodings and delimiters are found out or given, and what was found out is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.bad_rows import BadRows
from models.data.readers import read_rows
from models.data.sources import Source
from models.data.text_files import TableFormat, delimiter_of, read_table_text
from models.recipe import RecipeError

GERMAN = "Text;Klasse\n" + "".join(
    f"Die Prüfung {n} wäre für Größere schön gewesen, außer für Ärzte;gut\n" for n in range(30)
)
CHINESE = "text,label\n" + "".join(f"这部电影真的很好看 我非常喜欢第{n}集,好\n" for n in range(30))


def read_all(path):
    bad = BadRows()
    rows = list(read_rows(Source(path), ["text", "label"], lambda row: row, bad))
    bad.check()
    return rows


def cells(path, columns, form):
    read = read_rows(Source(path), columns, lambda row: dict(row.cells), BadRows(), form)
    return list(read)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "cp1252"),
        (GERMAN, "utf-16"),
        (GERMAN, "utf-8-sig"),
        (CHINESE, "gb18030"),
        (CHINESE, "utf-8"),
    ],
)
@pytest.mark.parametrize("is_given", [False, True])
def test_a_file_in_another_encoding_is_read(tmp_path, capsys, text, encoding, is_given):
    path = tmp_path / "own.csv"
    path.write_bytes(text.encode(encoding))
    header, *lines = text.splitlines()
    delimiter = ";" if ";" in header else ","
    columns = header.split(delimiter)

    rows = cells(path, columns, TableFormat(encoding if is_given else None))

    assert rows == [dict(zip(columns, line.rsplit(delimiter, 1), strict=True)) for line in lines]
    is_guessed = not is_given and encoding in {"cp1252", "gb18030"}
    assert ("set `encoding`" in capsys.readouterr().out) == is_guessed


def test_utf_8_with_faults_is_not_taken_for_another_encoding(tmp_path):
    path = tmp_path / "own.csv"
    lines = CHINESE.encode().splitlines(keepends=True)
    for number in (3, 9, 11):
        lines[number] = b"\xff" + lines[number]
    path.write_bytes(b"".join(lines))

    with pytest.raises(RecipeError, match=r"line 4, 10, 12: a byte is not UTF-8"):
        read_table_text(path, None)


@pytest.mark.parametrize("fault", ["encoding", "cells"])
def test_lines_are_counted_alike_where_their_ends_are_mixed(tmp_path, fault):
    path = tmp_path / "own.csv"
    wrong = b"\xff,bad" if fault == "encoding" else b"one,two,three"
    path.write_bytes("text,label\r\n\u00fcber,good\r\u00e4hnlich,bad\n".encode() + wrong + b"\n")

    with pytest.raises(RecipeError, match="line 4:"):
        read_all(path)


def test_a_byte_that_the_given_encoding_lacks_is_named_with_its_line(tmp_path):
    path = tmp_path / "own.csv"
    path.write_bytes(b"text,label\na,b\n\x81c,d\n")

    with pytest.raises(RecipeError, match=r"line 3: byte 0x81 is not cp1252"):
        read_table_text(path, "cp1252")


@given(
    st.sampled_from([",", ";", "\t", "|"]),
    st.permutations(["text", "label", "a, b", "c; d", "e | f"]),
)
def test_the_delimiter_is_the_one_that_gives_the_columns_their_names(path_of, delimiter, names):
    header = delimiter.join(f'"{name}"' for name in names)

    assert delimiter_of(path_of, f"{header}\n", ["text", "label"]) == delimiter


@pytest.fixture(scope="module")
def path_of(tmp_path_factory):
    return tmp_path_factory.mktemp("tables") / "own.csv"


def test_a_given_delimiter_counts(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("text^label\none, two^good\n")

    rows = cells(path, ("text", "label"), TableFormat(delimiter="^"))

    assert rows == [{"text": "one, two", "label": "good"}]
