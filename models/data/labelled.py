"""Labelled splits and unlabelled texts as files: read, written, as matrices."""

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
class Labelled:
    """A text with the indices of its labels in LabelSet.names, ascending."""

    text: str
    labels: tuple[int, ...]


@dataclass(frozen=True)
class LabelSet:
    """What a text can be: exactly one of `names` (single_label) or any of them (multi_label)."""

    names: tuple[str, ...]
    problem_type: ProblemType


def read_labels(folder: Path) -> LabelSet:
    """The labels of a data folder, in the order of their indices."""
    about = json.loads((folder / LABELS_NAME).read_text(encoding="ascii"))
    return LabelSet(tuple(about["labels"]), about["problem_type"])


def read_split(folder: Path, split: Split) -> list[Labelled]:
    """The labelled texts of one split, in file order."""
    rows = read_lines(split_path(folder, split))
    return [Labelled(row["text"], tuple(row["labels"])) for row in rows]


def read_unlabelled(folder: Path) -> list[str]:
    """The unlabelled texts, in file order."""
    return [row["text"] for row in read_lines(folder / f"{UNLABELLED}.jsonl")]


def split_path(folder: Path, split: Split) -> Path:
    """The file whose sha256 names the split."""
    return folder / f"{split}.jsonl"


def targets(rows: Sequence[Labelled], labels: LabelSet) -> npt.NDArray[np.bool_]:
    """Which labels each text has, of shape (texts, labels)."""
    return flags([row.labels for row in rows], len(labels.names))


def flags(indices: Sequence[Sequence[int]], labels: int) -> npt.NDArray[np.bool_]:
    """Lists of label indices as a matrix of shape (texts, labels)."""
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
