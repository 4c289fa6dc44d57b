"""The texts on which a cascade is ordered, tested and judged."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from models.data.bad_rows import BadRows, RowError
from models.data.labelled import (
    LABELS_NAME,
    LabelledText,
    LabelSet,
    indicator_matrix,
    label_matrix,
    read_labels,
    read_lines,
    read_split,
    split_path,
)
from models.data.labels import names_in, unknown_label
from models.data.readers import RENAME_COLUMNS, TableRow, read_rows, text_in
from models.data.section import DataSection
from models.data.sources import Source
from models.data.splits import SPLITS
from models.evaluation.statistics import Flags
from models.recipe import RecipeError
from models.recipe_sections import Split
from serving.bundles.bundle import file_sha256

_SEED = 0
_SAMPLE = (
    "the guarantee is for traffic of which these texts are a random sample; texts that somebody "
    "chose, as those who give feedback do, are none"
)


@dataclass(frozen=True)
class TextSet:
    """Texts in random order, or in that of their hashes, which is as good.

    `truth` has the shape (texts, labels); it is all false if the truth is not known.
    """

    texts: list[str]
    truth: Flags
    sha256: str


def data_folder(family: str, build: Path) -> Path:
    """Find the output of the data stage of the family's teacher.

    Several with the same held-out texts are one, whatever their roots were trained on. Raises
    RecipeError when it did not run, or when the family has several with different ones.
    """
    made = sorted(path.parent for path in (build / family).glob(f"*/data/{LABELS_NAME}"))
    found = list({_held_out(folder): folder for folder in made}.values())
    if len(found) != 1:
        raise RecipeError(
            f"{build / family} has {len(found)} data sets instead of one: "
            "run `python -m models data` on the recipe of the family's teacher"
        )
    return found[0]


def _held_out(data: Path) -> tuple[str, ...]:
    splits = (split for split in SPLITS if split != "train")
    return tuple(file_sha256(split_path(data, split)) for split in splits)


def calibration_share(data: Path) -> float:
    """Return the share of a data folder's labelled texts that its calibration split has."""
    paths = {split: split_path(data, split) for split in SPLITS}
    counts = {split: len(read_lines(path)) for split, path in paths.items() if path.is_file()}
    return counts["calibration"] / sum(counts.values())


def read_text_set(data: Path, split: Split) -> TextSet:
    """Read a split of a data folder."""
    rows = sorted(read_split(data, split), key=lambda row: _digest(row.text))
    truth = label_matrix(rows, read_labels(data))
    return TextSet([row.text for row in rows], truth, file_sha256(split_path(data, split)))


def read_halves(
    path: Path, labels: LabelSet, loss: Literal["accuracy", "agreement"]
) -> tuple[TextSet, TextSet]:
    """Divide a table's rows at random into two halves: for ordering, and for testing.

    The table has a column `text`, and for accuracy `label`, whose names are a list or separated by
    commas where a text may have several. A text counts as often as it occurs,
    because the guarantee is for traffic, which repeats itself; the division is seeded.
    Raises RecipeError naming file, line and remedy when the table cannot be used.
    """
    section = DataSection(
        files=(str(path),),
        labels=labels.names,
        problem_type=labels.problem_type,
        separator="," if labels.problem_type == "multi_label" else None,
    )
    if not path.is_file():
        raise RecipeError(f"{path} does not exist: name a table of texts")
    print(f"{path}: {_SAMPLE}")

    def made_of(row: TableRow) -> LabelledText:
        names = names_in(row.cells["label"], section, row.where) if loss == "accuracy" else ()
        for name in names or ():
            if name not in labels.names:
                raise RowError(unknown_label(row.where, name, labels.names, "the family's labels"))
        numbers = tuple(labels.names.index(name) for name in names or ())
        return LabelledText(text_in(row.cells["text"], row.where), numbers)

    bad = BadRows()
    columns = ["text", *(["label"] if loss == "accuracy" else [])]
    rows = list(read_rows(Source(path), columns, made_of, bad, if_missing=RENAME_COLUMNS))
    bad.check()
    rows = [rows[number] for number in np.random.default_rng(_SEED).permutation(len(rows))]
    middle = len(rows) // 2
    return _of(rows[:middle], labels), _of(rows[middle:], labels)


def _of(rows: list[LabelledText], labels: LabelSet) -> TextSet:
    texts = [row.text for row in rows]
    truth = np.asarray(indicator_matrix([row.labels for row in rows], len(labels.names)))
    return TextSet(texts, truth, hashlib.sha256(json.dumps(texts).encode()).hexdigest())


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
