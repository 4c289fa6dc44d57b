"""A log's texts as tables for other commands and recipes: with the labels of feedback, or without.

One label a text is its name. Several are a list in JSON Lines, and joined by commas in CSV, as
`--separator` and a recipe's `separator` name them.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.monitoring.log import FamilyLog, Row, text_of, with_feedback
from serving.bundles.bundle import Manifest
from serving.bundles.files import replace_file
from serving.errors import StartError, failures
from serving.inference.inputs import Text

_SEPARATOR = ","


@dataclass(frozen=True)
class LabelledTexts:
    """Logged texts with the labels of their feedback, as often as they occur, the newest first.

    `unknown` is how many have labels that the family cannot give (any more), `textless` how much
    feedback is on texts that the log does not have: of requests that were not sampled. `newest` is
    when the last feedback was given that counts, of what is not in the future; None without any.
    """

    texts: Sequence[tuple[Text, tuple[str, ...]]]
    unknown: int
    textless: int
    newest: datetime | None = None


def labelled_texts(log: FamilyLog, manifest: Manifest) -> LabelledTexts:
    """Return the texts with feedback; `manifest` is of the family. Blank texts are left out."""
    judged = with_feedback(log.texts, log.feedback)
    now = datetime.now(UTC)
    found, unknown = [], 0
    newest: datetime | None = None
    for row, given in judged:
        if not _fits(given["right"], manifest):
            unknown += 1
        elif _is_readable(row, manifest):
            found.append((text_of(row), tuple(given["right"])))
            if given["time"] <= now:
                newest = max(newest or given["time"], given["time"])
    return LabelledTexts(found, unknown, len(log.feedback) - len(judged), newest)


def logged_texts(log: FamilyLog, manifest: Manifest) -> list[Text]:
    """Return every logged text but blank ones, with feedback or without: a sample of the traffic.

    A text counts as often as it occurs.
    """
    return [text_of(row) for row in log.texts if _is_readable(row, manifest)]


def write_labelled(
    path: Path, texts: Sequence[tuple[Text, tuple[str, ...]]], manifest: Manifest
) -> None:
    """Write a table of texts and labels. Raises StartError if it cannot hold or be given them."""
    is_csv = path.suffix == ".csv"
    joined = is_csv and manifest.multi_label
    if joined and (odd := [each for each in manifest.labels if _SEPARATOR in each]):
        raise StartError(
            f"{path}: commas separate labels in CSV, and {odd[0]!r} has one: write .jsonl"
        )

    def cell(labels: tuple[str, ...]) -> str | list[str]:
        if not manifest.multi_label:
            return labels[0]
        return _SEPARATOR.join(labels) if joined else list(labels)

    rows = [{**_cells(text), "label": cell(labels)} for text, labels in texts]
    write_table(path, rows, [*_columns(manifest), "label"])


def write_unlabelled(path: Path, texts: Sequence[Text], manifest: Manifest) -> None:
    """Write a table of texts. Raises StartError if it cannot be written."""
    write_table(path, [_cells(text) for text in texts], _columns(manifest))


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write CSV or, if the name says so, JSON Lines, whole or not at all, for its owner to read."""
    out = io.StringIO(newline="")
    if path.suffix == ".jsonl":
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerows({name: _without_nul(cell) for name, cell in row.items()} for row in rows)
    with failures(StartError, f"{path} cannot be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, out.getvalue().encode(), mode=0o600)


def _columns(manifest: Manifest) -> list[str]:
    return ["text", "text_pair"] if manifest.pairs else ["text"]


def _cells(text: Text) -> dict[str, str]:
    return {"text": text} if isinstance(text, str) else {"text": text[0], "text_pair": text[1]}


def _fits(labels: Sequence[str], manifest: Manifest) -> bool:
    """Whether these can be the labels of a text."""
    return set(labels) <= set(manifest.labels) and (manifest.multi_label or len(labels) == 1)


def _is_readable(row: Row, manifest: Manifest) -> bool:
    """Whether no text is blank, and there are as many as the family reads today."""
    texts = [each for each in (row["text"], row["text_pair"]) if each is not None]
    return len(texts) == 1 + manifest.pairs and all(each.strip() for each in texts)


def _without_nul(cell: object) -> object:
    return cell.replace("\0", "\ufffd") if isinstance(cell, str) else cell
