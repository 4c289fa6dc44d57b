"""The feedback that counts in a trial, kept until its end, whatever the log loses meanwhile.

A test that is looked at again and again holds as counts grow. So what has been counted stays
counted though the log drops it for its age, or a caller has it erased: as right or wrong, under a
hash.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import RootModel

from models.monitoring.log import Row, was_right
from models.retraining.verdict import Canaries, Judgement
from serving.bundles.files import parse, read_file, replace_file
from serving.errors import StartError, failures

COUNTED_NAME = "counted.json"
_MOST_BYTES = 1 << 30


class _Counted(RootModel[dict[str, Judgement]]):
    """By a hash of the answer."""


def keep_counted(
    folder: Path, feedback: Sequence[Row], canaries: Canaries
) -> Mapping[str, Judgement]:
    """Return what counts of the rows of `FamilyLog.feedback`, and what did at earlier looks.

    Later feedback on the same answer takes the place of earlier one. Raises StartError.
    """
    path = folder / COUNTED_NAME
    before: dict[str, Judgement] = {}
    if path.exists():
        with failures(StartError, f"{path} cannot be read: restore it, or give this turn up"):
            before = parse(_Counted, read_file(path, _MOST_BYTES).decode(), path).root
    counted = before | dict(counting(feedback, canaries))
    with failures(StartError, f"{path} cannot be written"):
        replace_file(path, _Counted(counted).model_dump_json().encode(), mode=0o600)
    return counted


def counting(feedback: Sequence[Row], canaries: Canaries) -> Iterator[tuple[str, Judgement]]:
    """Yield the feedback that counts, in its order, each with a hash of the answer.

    That is feedback on answers since the start, of the versions that are compared, and not on those
    of a cascade or under overload: no canary takes part in a cascade. As far as a row says when and
    how the answer was given.
    """
    for row in feedback:
        compared = canaries.versions.get(row["variant"])
        answered = row.get("answered") or row["time"]
        is_fair = answered >= canaries.since and row.get("alone") is not False
        if compared and is_fair and row["version"] in compared.both:
            yield (
                _hash(row),
                Judgement(
                    time=row["time"],
                    variant=row["variant"],
                    by_canary=row["version"] == compared.canary,
                    is_right=was_right(row),
                ),
            )


def nothing_counts(feedback: Sequence[Row], canaries: Canaries) -> str:
    """Say, where no row counts, how many there are since the start, and why they do not."""
    since = sum(row["time"] >= canaries.since for row in feedback)
    of = f" that counts, of {since:,}: answers of a cascade or under overload do not"
    return f"No new or live version has feedback{of if since else ''}."


def _hash(row: Row) -> str:
    """Return what names an answer, and nothing of the caller."""
    answered = row["answered"].timestamp() if row.get("answered") else None
    names = (row["caller"], row["request_id"], row["index"], row["version"], answered)
    return hashlib.sha256(repr(names).encode()).hexdigest()
