"""`python -m serving classify`, a real process each time, on the tiny family: what it refuses."""

import io

import pytest

from serving.errors import StartError
from serving.offline import job as offline_job
from serving.offline.job import Job
from serving.settings import Settings
from tests.support.offline_jobs import classify, write

BROKEN = {
    "no.txt": ("good", "ends in none of .csv, .jsonl, .parquet"),
    "column.csv": ("body,id\ngood,1\n", "has no column 'text' but ['body', 'id']: name one with"),
    "taken.csv": ("text,label\ngood,1\n", "has a column 'label' already: use --prefix"),
    "twice.csv": ("text,a,a\ngood,1,2\n", "names a column twice"),
    "fields.csv": ("text,id\ngood,1\ngood, bad,2\n", "line 3 has 3 fields and the header 2"),
    "quote.csv": ('text,id\n"good,1\n', "after line 2: unexpected end of data"),
    "empty.csv": ("", "has no column 'text' but []"),
    "latin.csv": (b"text\nsch\xf6n\n", "'utf-8' codec can't decode byte 0xf6"),
    "line.jsonl": ('{"text": "a"}\n\n{"text": }\n', "line 3 is not JSON: expected value at column"),
    "latin.jsonl": (b'{"text": "sch\xf6n"}\n', "line 1 is not JSON"),
    "surrogate.jsonl": ('{"text": "\\ud800"}\n', "line 1 is not JSON"),
    "list.jsonl": ('["good"]\n', "line 1 is not a JSON object"),
    "number.jsonl": ('{"text": "a"}\n{"text": 5}\n', "line 2: text is 5, not a string: quote it"),
    "missing.jsonl": ('{"text": "a"}\n{"t": "a"}\n', "line 2 has no column 'text' but ['t']"),
    "garbage.parquet": ("PAR1", "cannot be read as Parquet"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_read_is_one_sentence_and_leaves_nothing(
    tmp_path, tiny_registry, name
):
    content, sentence = BROKEN[name]
    source, output = tmp_path / name, tmp_path / f"out{(tmp_path / name).suffix}"
    source.write_bytes(content if isinstance(content, bytes) else content.encode())

    job = Job(source, output, "text", None, None, "auto", long=None, prefix="")
    with pytest.raises(StartError) as raised:
        offline_job.classify(job, Settings(registry=tiny_registry), io.StringIO())

    assert sentence in raised.value.detail
    assert "\n" not in raised.value.detail
    assert list(tmp_path.iterdir()) == [source]


def test_numbers_in_a_parquet_column_are_refused(tmp_path, tiny_registry):
    source = write(tmp_path / "in.parquet", [{"text": 5}])

    status, said = classify(source, tmp_path / "out.parquet", tiny_registry)

    assert status == 2
    assert "text holds int64, not strings: cast it" in said


@pytest.mark.parametrize(
    ("output", "more", "sentence"),
    [
        ("in.csv", [], "is the input: name another output"),
        ("out.jsonl", [], "must end in .csv, like the input"),
        ("no/out.csv", [], "no is not a folder: make it first"),
        ("out.csv", ["--model", "mood"], "name one of the models tone with --model"),
        ("out.csv", ["--variant", "huge"], "there is no variant 'huge': name one of"),
    ],
)
def test_what_cannot_be_asked_for_is_one_sentence(tmp_path, tiny_registry, output, more, sentence):
    source = write(tmp_path / "in.csv", [{"text": "good"}])

    status, said = classify(source, tmp_path / output, tiny_registry, *more)

    assert status == 2
    assert sentence in said
    assert list(tmp_path.iterdir()) == [source]
