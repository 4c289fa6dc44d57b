"""The data folder: labelled splits and unlabelled texts, read and written."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.recipe_sections import ProblemType, Split

UNLABELLED = "unlabelled"
LABELS_NAME = "data.json"


@dataclass(frozen=True)
class LabelledText:
    """A text and its labels as indices into LabelSet.names, ascending.

    `groups` has its group in each column of read_group_report, empty if it is in none.
    """

    text: str
    labels: tuple[int, ...]
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelSet:
    """The labels: a text has exactly one (single_label) or any number (multi_label)."""

    names: tuple[str, ...]
    problem_type: ProblemType


def read_labels(folder: Path) -> LabelSet:
    """Read the labels of a data folder."""
    about = json.loads((folder / LABELS_NAME).read_text(encoding="ascii"))
    return LabelSet(tuple(about["labels"]), about["problem_type"])


def has_labels(folder: Path) -> bool:
    """Whether the texts of a data folder came with labels, rather than with a model's answers."""
    about = json.loads((folder / LABELS_NAME).read_text(encoding="ascii"))
    return bool(about.get("truth", "labels") == "labels")


def read_group_report(folder: Path) -> tuple[str, ...]:
    """Read the names of the columns of groups."""
    about = json.loads((folder / LABELS_NAME).read_text(encoding="ascii"))
    return tuple(about.get("group_report", ()))


def read_counts(folder: Path) -> dict[str, int]:
    """Read what became of the tables' labelled rows."""
    about = json.loads((folder / LABELS_NAME).read_text(encoding="ascii"))
    return dict(about["rows"])


def read_split(folder: Path, split: Split) -> list[LabelledText]:
    """Read the labelled texts of a split, in file order."""
    rows = read_lines(split_path(folder, split))
    return [
        LabelledText(row["text"], tuple(row["labels"]), tuple(row.get("groups", ())))
        for row in rows
    ]


def read_unlabelled(folder: Path) -> list[str]:
    """Read the unlabelled texts, in file order."""
    return [row["text"] for row in read_lines(folder / f"{UNLABELLED}.jsonl")]


def split_path(folder: Path, split: Split) -> Path:
    """Return a split's file; its sha256 identifies the split in a manifest."""
    return folder / f"{split}.jsonl"


def label_matrix(rows: Sequence[LabelledText], labels: LabelSet) -> npt.NDArray[np.bool_]:
    """Return which labels each text has, of shape (texts, labels)."""
    return indicator_matrix([row.labels for row in rows], len(labels.names))


def indicator_matrix(indices: Sequence[Sequence[int]], labels: int) -> npt.NDArray[np.bool_]:
    """Turn lists of label indices into a matrix of shape (texts, labels)."""
    matrix = np.zeros((len(indices), labels), dtype=np.bool_)
    for number, row in enumerate(indices):
        matrix[number, list(row)] = True
    return matrix


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write JSON Lines in ASCII."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="ascii")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read JSON Lines in ASCII."""
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
