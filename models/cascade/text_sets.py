"""The texts that a cascade is ordered, tested and judged by.

It does not know what any variant answers to them.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from models.data.labelled import (
    LABELS_NAME,
    Labelled,
    LabelSet,
    flags,
    read_labels,
    read_split,
    split_path,
    targets,
)
from models.data.labels import names_in
from models.data.readers import read_rows
from models.data.sources import Place
from models.evaluation.statistics import Flags
from models.recipe import RecipeError
from models.recipe_sections import DataSection, Split
from serving.bundles.bundle import file_sha256


@dataclass(frozen=True)
class HeldOut:
    """Texts in the order of their hashes, which says nothing about them.

    `truth` is of shape (texts, labels), all false where nobody knows it.
    """

    texts: list[str]
    truth: Flags
    sha256: str


def data_folder(family: str, build: Path) -> Path:
    """What the data stage of the family's teacher left.

    Raises RecipeError when it did not run, or when the family has several teachers.
    """
    found = [path.parent for path in (build / family).glob(f"*/data/{LABELS_NAME}")]
    if len(found) != 1:
        raise RecipeError(
            f"{build / family} holds {len(found)} data sets instead of the family's one: "
            f"run `python -m models data` on the recipe of its teacher"
        )
    return found[0]


def read_held_out(data: Path, split: Split) -> HeldOut:
    """One split of a data folder."""
    rows = sorted(read_split(data, split), key=lambda row: _digest(row.text))
    truth = targets(rows, read_labels(data))
    return HeldOut([row.text for row in rows], truth, file_sha256(split_path(data, split)))


def read_halves(
    path: Path, labels: LabelSet, loss: Literal["accuracy", "agreement"]
) -> tuple[HeldOut, HeldOut]:
    """A table's texts in two halves by their hashes: to order by, and to test by.

    Column `text`, and `label` for accuracy. Equal texts count once.
    Raises RecipeError naming the file, the line and the remedy when the table is of no use.
    """
    section = DataSection(files=(str(path),), labels=labels.names, problem_type=labels.problem_type)
    if not path.is_file():
        raise RecipeError(f"{path} is not there: name a table of texts")
    rows: dict[str, Labelled] = {}
    for row in read_rows(Place(path), ["text", *(["label"] if loss == "accuracy" else [])]):
        names = names_in(row.cells["label"], section, row.where) if loss == "accuracy" else ()
        for name in names or ():
            if name not in labels.names:
                raise RecipeError(
                    f"{row.where}: {name!r} is not one of {', '.join(labels.names)}: "
                    "correct the row"
                )
        numbers = tuple(labels.names.index(name) for name in names or ())
        text = str(row.cells["text"] or "").strip()
        if not text:
            raise RecipeError(f"{row.where}: the text says nothing: write one or delete the row")
        rows.setdefault(text, Labelled(text, numbers))
    texts = sorted(rows, key=_digest)
    middle = len(texts) // 2
    first, second = (
        _of([rows[text] for text in half], labels) for half in (texts[:middle], texts[middle:])
    )
    return first, second


def _of(rows: list[Labelled], labels: LabelSet) -> HeldOut:
    texts = [row.text for row in rows]
    truth = np.asarray(flags([row.labels for row in rows], len(labels.names)))
    return HeldOut(texts, truth, hashlib.sha256(json.dumps(texts).encode()).hexdigest())


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
