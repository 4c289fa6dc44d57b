"""What counts as new since the last turn that ended."""

from datetime import UTC, datetime, timedelta

import pytest

from models.retraining.record import Collected, Record, Terms, Turn, read_record, write_record

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
TERMS = Terms(weight=0.1, margin=0.02, confidence=0.95, days=14)


def turn(outcome, newest=NOON, tables=("a",)):
    numbers = dict.fromkeys(
        ["feedback", "tables", "unfilled", "repeated", "contradictory", "held_out", "disputed",
         "corrected", "confirmed", "unlabelled"], 1,
    )  # fmt: skip
    collected = Collected(
        **numbers, added={"train": 3}, newest=newest, table_hashes={name: name for name in tables}
    )
    return Turn(terms=TERMS, collected=collected, outcome=outcome)


@pytest.mark.parametrize(
    ("turns", "newest", "tables", "is_new"),
    [
        ([], None, [], True),
        ([turn(None)], NOON, ["a"], True),
        ([turn("promoted")], NOON, ["a"], False),
        ([turn("promoted")], NOON, [], False),
        ([turn("promoted")], NOON - timedelta(days=1), ["a"], False),
        ([turn("promoted")], NOON + timedelta(seconds=1), ["a"], True),
        ([turn("promoted")], NOON, ["a", "b"], True),
        ([turn("withdrawn", None)], NOON, [], True),
        ([turn("unchanged", None)], None, ["a"], False),
    ],
)
def test_later_feedback_or_another_table_is_new(turns, newest, tables, is_new):
    record = Record(family="tone", turns=turns)

    assert record.is_new(newest, {f"its {name}": name for name in tables}) == is_new


def test_it_is_read_as_it_was_written(tmp_path):
    record = Record(family="tone", turns=[turn("promoted"), turn(None)])

    write_record(tmp_path / "tone", record)

    assert read_record(tmp_path / "tone", "tone") == record
    assert read_record(tmp_path / "none", "tone") == Record(family="tone")
