"""Tables and recipes that no classifier can be made of, with the message that a user sees."""

import json
from dataclasses import dataclass

HEADER = b"text,label\n"
GOOD = "".join(f"a fine day {n},good\na bad day {n},bad\n" for n in range(60)).encode()


def json_lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


MANY = json_lines(
    *({"text": f"a day {n}", "topics": ["sun", "rain"][: 1 + n % 2]} for n in range(120))
)


@dataclass(frozen=True)
class Broken:
    """Files beside the recipe, the lines of its [data] section, and what the user is told."""

    name: str
    files: dict[str, bytes]
    message: str
    data: str = 'files = ["reviews.csv"]'


def _csv(name, content, message, data='files = ["reviews.csv"]'):
    return Broken(name, {"reviews.csv": content}, message, data)


TABLE = (
    Broken(
        "a file that is not there",
        {},
        "reviews.csv does not exist: correct `reviews.csv` in the recipe teacher "
        "(paths are relative to the recipe's folder)",
    ),
    _csv("an empty file", b"", "reviews.csv is empty: add texts or remove it from the recipe"),
    _csv(
        "a header and nothing else",
        HEADER,
        "reviews.csv has no rows: add texts or remove it from the recipe",
    ),
    _csv(
        "no such column",
        b"review,stars\nfine,5\n",
        "reviews.csv has no column 'text', only 'review', 'stars': name the columns "
        "with `text` and `label` in [data], or with --text and --label",
    ),
    _csv(
        "two columns of one name",
        b"text,label,text\nfine,good,x\n",
        "reviews.csv has two columns named 'text': rename or delete one",
    ),
    _csv(
        "a row with a comma too many",
        HEADER + GOOD + b"good, but dear,good\n",
        "reviews.csv, line 122: 3 cells, but the header has 2: put quotes around cells with ','",
    ),
    _csv(
        "a quote that never ends",
        HEADER + b'"fine,good\n' + GOOD,
        "reviews.csv, line 2: unexpected end of data: check the quotes from this line on",
    ),
    _csv(
        "Latin-1 in a UTF-8 file",
        HEADER
        + GOOD
        + "tr\xe8s d\xe9j\xe0 vu,bad\n".encode()
        + "d\xe9j\xe0,bad\n".encode("latin-1"),
        "reviews.csv, line 123: a byte is not UTF-8: save the whole file in one encoding, UTF-8",
    ),
    _csv(
        "UTF-16 without its mark",
        (HEADER + GOOD).decode().encode("utf-16-le"),
        "reviews.csv is binary, or UTF-16 without its mark: save it as UTF-8",
    ),
    _csv(
        "a NUL byte in a line",
        HEADER + GOOD + b"a torn\0 day,bad\n",
        "reviews.csv, line 122: it has a NUL byte: delete it",
    ),
    _csv(
        "Latin-1 in a file of carriage returns",
        "text,label\rtr\xe8s d\xe9j\xe0 vu,good\r".encode() + b"d\xe9j\xe0 vu,bad\r",
        "reviews.csv, line 3: a byte is not UTF-8: save the whole file in one encoding, UTF-8",
    ),
    _csv(
        "an empty text",
        HEADER + GOOD + b"  ,good\n",
        "reviews.csv, line 122: empty text: fill it in or delete the row",
    ),
    _csv(
        "an empty label",
        HEADER + GOOD + b"what a day,\n",
        "reviews.csv, line 122: the label is missing (''): fill it in or delete the row, or set "
        '`missing = "unlabelled"` in [data] (compress: --missing unlabelled)',
    ),
    _csv(
        "one class",
        HEADER + GOOD.replace(b"bad\n", b"good\n"),
        "reviews.csv: every text is labelled 'good': add texts of another label or correct `label`",
    ),
    _csv(
        "too few texts",
        HEADER + GOOD[: GOOD.index(b"a fine day 3")],
        "reviews.csv: 0 texts for calibration, fewer than the 2 labels: add texts, "
        "raise the split's share or give it a file in [data]",
    ),
    _csv(
        "a label that the recipe does not name",
        HEADER + GOOD + b"so so,neutral\n",
        "reviews.csv, line 122: 'neutral' is not one of `labels` in [data] (good, "
        "bad): correct the row or add the label",
        'files = ["reviews.csv"]\nlabels = ["good", "bad"]',
    ),
    _csv(
        "a label that no text has",
        HEADER + GOOD,
        "reviews.csv: no text is labelled 'neutral': add some or remove the label",
        'files = ["reviews.csv"]\nlabels = ["good", "bad", "neutral"]',
    ),
    Broken(
        "a label in the test file that training never saw",
        {"reviews.csv": HEADER + GOOD, "test.csv": HEADER + b"so so,neutral\nwell,good\nno,bad\n"},
        "test.csv, line 2: the label 'neutral' occurs in test, but not in train: "
        "add training texts with it or delete the row",
        'files = ["reviews.csv"]\nsplits = { test = ["test.csv"] }',
    ),
    _csv(
        "the same file to train and to test on",
        HEADER + GOOD,
        "teacher.toml: data: reviews.csv is listed twice: a text may be in one split only",
        'files = ["reviews.csv"]\nsplits = { test = ["reviews.csv"] }',
    ),
    Broken(
        "a group in the training and the test file",
        {
            "reviews.csv": b"text,label,author\nfine,good,ann\nbad,bad,ben\n",
            "test.csv": b"text,label,author\nwell done,good,ann\n",
        },
        "test.csv, line 2: the group 'ann' is also at reviews.csv, line 2, in the file "
        "of another split: keep all rows of a group in one file",
        'files = ["reviews.csv"]\nsplits = { test = ["test.csv"] }\ngroup = "author"',
    ),
    _csv(
        "a rating that is no number",
        HEADER + b"fine,4.5\nwell,nan\n",
        "reviews.csv, line 3: 'nan' is not a number, so it has no bin: correct or delete the row",
        'files = ["reviews.csv"]\nbins = { bad = [1, 3], good = [3, 5] }',
    ),
    _csv(
        "bins that overlap",
        HEADER + b"fine,4.5\n",
        "teacher.toml: data: bins: bad and good overlap: let them share an edge at most",
        'files = ["reviews.csv"]\nbins = { bad = [1, 3.5], good = [3, 5] }',
    ),
    Broken(
        "a line of JSON cut short",
        {"days.jsonl": MANY + b'{"text": "a day", \n'},
        "days.jsonl, line 121 is not JSON (Expecting property name enclosed in double"
        " quotes at character 19): write each object completely on one line",
        'files = ["days.jsonl"]\nlabel = "topics"\nproblem_type = "multi_label"',
    ),
    Broken(
        "a line of JSON without the label",
        {"days.jsonl": MANY + json_lines({"text": "a day"})},
        "days.jsonl, line 121 has no column 'topics', only 'text': complete or delete the row",
        'files = ["days.jsonl"]\nlabel = "topics"\nproblem_type = "multi_label"',
    ),
    Broken(
        "a JSON array instead of lines",
        {"days.jsonl": b'[{"text": "a day", "topics": []}]\n'},
        'days.jsonl, line 1 is not a JSON object: write one on each line, such as {"text": '
        '"...", "label": "..."}',
        'files = ["days.jsonl"]\nlabel = "topics"\nproblem_type = "multi_label"',
    ),
    Broken(
        "a label that is an object",
        {"days.jsonl": MANY + json_lines({"text": "a day", "topics": [{"name": "sun"}]})},
        "days.jsonl, line 121: the label {'name': 'sun'} is neither a name nor a "
        "whole number: correct or delete the row",
        'files = ["days.jsonl"]\nlabel = "topics"\nproblem_type = "multi_label"',
    ),
    Broken(
        "several labels where one was promised",
        {"days.jsonl": MANY},
        'days.jsonl, line 1: the label is a list: set `problem_type = "multi_label"` in [data]',
        'files = ["days.jsonl"]\nlabel = "topics"',
    ),
    Broken(
        "labels in one string without a separator",
        {"days.csv": b"text,topics\na day,sun|rain\n"},
        "days.csv, line 2: the labels are one string: set the `separator` between them in [data]",
        'files = ["days.csv"]\nlabel = "topics"\nproblem_type = "multi_label"',
    ),
    Broken(
        "a text that is a number",
        {"days.jsonl": json_lines({"text": 5, "label": "good"})},
        "days.jsonl, line 1: 5 is not a text: put it in quotes or delete the row",
        'files = ["days.jsonl"]',
    ),
    Broken(
        "a spreadsheet",
        {"reviews.xlsx": b"PK\x03\x04"},
        "reviews.xlsx is not a table of a known format: save it as one of "
        ".tsv, .csv, .jsonl, .parquet",
        'files = ["reviews.xlsx"]',
    ),
    Broken(
        "no Parquet inside",
        {"days.parquet": b"PAR0"},
        "days.parquet is not a Parquet file (Parquet file size is 4 bytes, smaller "
        "than the minimum file footer (8 bytes)): write it again",
        'files = ["days.parquet"]',
    ),
    Broken(
        "an empty folder as a data set",
        {"days/.keep": b""},
        "days: datasets cannot load the split 'train'",
        'files = ["days"]',
    ),
    _csv(
        "a key that no recipe has",
        HEADER + GOOD,
        "teacher.toml: data.lable: Extra inputs are not permitted",
        'files = ["reviews.csv"]\nlable = "x"',
    ),
    _csv(
        "no file at all",
        HEADER + GOOD,
        "teacher.toml: data.files: Tuple should have at least 1 item after validation, not 0",
        "files = []",
    ),
)
