import csv
import json

import pytest

from models.monitoring.worth_labelling import Candidate, chosen, export, uncertainty
from tests.support.text_logs import text_row


def candidate(name, uncertain, disagreement=0.0, **fields):
    return Candidate(text_row(name, f"text {name}", 0.9, **fields), uncertain, disagreement)


@pytest.mark.parametrize(
    ("scores", "single", "expected"),
    [
        ([0.5, 0.5], True, 1.0),
        ([0.0, 1.0], True, 0.0),
        ([0.2, 0.5, 0.3], True, 0.8),
        ([1.0], True, 0.0),
        ([0.9, 0.5], False, 1.0),
        ([1.0, 0.0], False, 0.0),
        ([0.75, 0.0], False, 0.5),
    ],
)
def test_uncertainty_is_how_near_another_answer_is(scores, single, expected):
    assert uncertainty(scores, single=single) == pytest.approx(expected)


def test_disputed_texts_and_unsure_ones_are_chosen_in_turn_and_each_once():
    found = [
        candidate("sure", 0.1), candidate("unsure", 0.9), candidate("both", 0.95, 0.5),
        candidate("disputed", 0.2, 1.0),
    ]  # fmt: skip

    order = [each.row["request_id"] for each in chosen(found, 10)]

    assert order == ["disputed", "both", "unsure", "sure"]
    assert chosen(found, 1) == [found[3]]


@pytest.mark.parametrize("pair", [None, "a second text"])
def test_what_is_exported_is_read_again_as_csv_and_as_json_lines(tmp_path, pair):
    found = [candidate('with "quotes", commas\nand lines', 0.5, 0.25, text_pair=pair)]
    export(found, tmp_path / "a.csv")
    export(found, tmp_path / "a.jsonl")

    with (tmp_path / "a.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    (line,) = map(json.loads, (tmp_path / "a.jsonl").read_text().splitlines())
    assert row == {name: str(value) for name, value in line.items()}
    assert line["text"] == found[0].row["text"]
    assert line.get("text_pair") == pair
    assert (line["label"], line["predicted"], line["disagreement"]) == ("", "positive", 0.25)
