"""The rows of a text log that are of one family, without those that were deleted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.errors import StartError, failures
from serving.feedback.log_files import Kind, LogFiles, digest
from serving.inference.inputs import Text

Row = Mapping[str, Any]


class NothingLogged(StartError):
    """The log can be read, and has nothing of the family."""


@dataclass(frozen=True)
class FamilyLog:
    """The newest texts, the newest first, and the last feedback on each answer."""

    texts: Sequence[Row]
    feedback: Sequence[Row]


def read_log(url: str, keys: Path | None, family: str, most_texts: int) -> FamilyLog:
    """Read at most so many texts of a family, and all feedback on it.

    Raises StartError if the log cannot be read, NothingLogged if it has nothing of the family.
    """
    files = LogFiles(url, keys, "--log")
    with failures(StartError, f"--log {url} cannot be read"):
        deleted = files.deletions().keys()

        def rows(kind: Kind, most: int | None = None) -> list[Row]:
            found: list[Row] = []
            for file in reversed(files.listed(kind)):
                found += [
                    row
                    for row in reversed(_rows(files, file.name))
                    if row["model"] == family
                    and digest(row["caller"], row["request_id"]) not in deleted
                ]
                if most is not None and len(found) >= most:
                    return found[:most]
            return found

        texts, feedback = rows("texts", most_texts), rows("feedback")
    if not texts and not feedback:
        raise NothingLogged(
            f"--log {url} has nothing of {family}: give the server's SIZEWISE_TEXT_LOG, and let "
            "callers consent"
        )
    last: dict[object, Row] = {}
    for row in sorted(feedback, key=lambda row: row["time"]):
        last[_named(row), row.get("answered")] = row
    return FamilyLog(texts, list(last.values()))


def with_feedback(texts: Sequence[Row], feedback: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Return each text that has feedback, with it; texts come the newest first.

    A caller may use an id again, so feedback is on the text that was answered when it says. If it
    does not say, it is on the newest text of its id that is not newer than itself.
    """
    left = {(_named(row), row.get("answered")): row for row in feedback}
    found = []
    for row in texts:
        for key in ((_named(row), row["time"]), (_named(row), None)):
            if key in left and left[key]["time"] >= row["time"]:
                found.append((row, left.pop(key)))
                break
    return found


def _named(row: Row) -> tuple[str, str, int]:
    """Return what names the answered text of a row, unless the id was used again."""
    return row["caller"], row["request_id"], row["index"]


def was_right(row: Row) -> bool:
    """Return whether feedback says that exactly the right labels were predicted."""
    return {*row["predicted"]} == {*row["right"]}


def text_of(row: Row) -> Text:
    """Return the text, or the pair, of a row."""
    return row["text"] if row["text_pair"] is None else (row["text"], row["text_pair"])


def _rows(files: LogFiles, name: str) -> list[dict[str, Any]]:
    """Read a file, which a server may have removed since it was listed."""
    try:
        return files.read(name)
    except FileNotFoundError:
        return []
