import csv
import json

import datasets
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from models.data.bad_rows import BadRows
from models.data.readers import read_rows
from models.data.sources import Source
from models.recipe import RecipeError

ROWS = [
    {"text": "Les clich\u00e9s\u2028\x85 vanish", "label": "\u597d"},
    {"text": 'She said "no, never"', "label": "bad"},
]


def read(path, columns=("text", "label"), split=None):
    bad = BadRows()
    found = list(read_rows(Source(path, split=split), columns, lambda row: row, bad))
    bad.check()
    return [dict(row.cells) for row in found]


def test_tsv_has_no_quoting(tmp_path):
    path = tmp_path / "reviews.tsv"
    lines = ["label\ttext", *(f"{row['label']}\t{row['text']}" for row in ROWS)]
    path.write_bytes("\r\n".join(lines).encode())

    assert read(path) == ROWS


def test_csv_has_quoted_commas_quotes_and_line_breaks_and_lines_are_still_counted(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_bytes(b'\xef\xbb\xbftext,label\r\n"one,\r\n""two""",good\r\n\r\nthree,bad\r\n')

    first, second = read_rows(Source(path), ("text", "label"), lambda row: row, BadRows())

    assert first.cells == {"text": 'one,\r\n"two"', "label": "good"}
    assert (first.where, second.where) == (f"{path}, line 2", f"{path}, line 5")


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_a_document_of_many_pages_fits_into_a_cell(tmp_path, suffix):
    path = tmp_path / f"contracts.{suffix}"
    separator = {"csv": ",", "tsv": "\t"}[suffix]
    document = "whereas " * 50_000
    path.write_text(f"text{separator}label\n{document}{separator}lease\nshort{separator}sale\n")

    assert read(path) == [
        {"text": document, "label": "lease"},
        {"text": "short", "label": "sale"},
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("old.csv", b'text,label\rone,good\r"two\rlines",bad\r'),
        ("old.tsv", b"text\tlabel\rone\tgood\rtwo\tbad\r"),
        ("old.jsonl", b'{"text": "one", "label": "good"}\r{"text": "two", "label": "bad"}\r'),
    ],
)
def test_lines_may_end_with_a_carriage_return_alone(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)

    assert [row["label"] for row in read(tmp_path / name)] == ["good", "bad"]


def test_json_lines_keep_every_character_and_further_columns(tmp_path):
    path = tmp_path / "reviews.jsonl"
    path.write_text("\n".join(json.dumps(row | {"id": 7}, ensure_ascii=False) for row in ROWS))

    assert read(path) == [row | {"id": 7} for row in ROWS]


def test_json_that_is_nested_too_deeply_is_a_bad_row(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text("[" * 100_000)

    with pytest.raises(RecipeError, match="line 1 is nested too deeply: write one object"):
        read(path)


def test_parquet_is_read_with_lists(tmp_path):
    path = tmp_path / "reviews.parquet"
    rows = [{"text": "one", "label": ["a", "b"]}, {"text": "two", "label": []}]
    parquet.write_table(pa.Table.from_pylist(rows), path)

    assert read(path) == rows


@pytest.fixture
def saved(tmp_path):
    """A data set with numbered labels, as `save_to_disk` leaves it."""
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["bad", "good"]),
            "topics": datasets.List(datasets.ClassLabel(names=["sun", "rain"])),
        }
    )
    rows = {"text": ["one", "two"], "label": [1, 0], "topics": [[0, 1], []]}
    table = datasets.Dataset.from_dict(rows, features=features)
    both = datasets.DatasetDict({"train": table, "test": table.select([1])})
    both.save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


def test_a_saved_data_set_is_read_by_split_with_the_names_of_its_labels(saved):
    assert read(saved, ("text", "label", "topics")) == [
        {"text": "one", "label": "good", "topics": ["sun", "rain"]},
        {"text": "two", "label": "bad", "topics": []},
    ]
    assert read(saved, ("text",), "test") == [{"text": "two"}]


def test_a_folder_of_tables_is_read_as_a_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "train.csv").write_text("text,label\none,good\ntwo,bad\n")

    assert [row["label"] for row in read(folder)] == ["good", "bad"]


def test_a_split_that_a_data_set_lacks_is_refused(saved):
    with pytest.raises(RecipeError, match="cannot load the split 'dev'"):
        read(saved, ("text",), "dev")


def test_a_column_that_a_data_set_lacks_is_refused(saved):
    with pytest.raises(RecipeError, match="no column 'stars', only 'text', 'label', 'topics'"):
        read(saved, ("stars",))


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
        min_size=1,
        max_size=5,
    )
)
def test_any_text_comes_back_from_csv_as_it_was_written(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("csv") / "any.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([("text",), *((text,) for text in texts)])

    assert [row["text"] for row in read(path, ("text",))] == texts
