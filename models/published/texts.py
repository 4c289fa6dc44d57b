"""The user's texts for a published family, with labels or without."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from models.data.bad_rows import BadRows, RowError
from models.data.groups import check_groups, group_in
from models.data.labels import names_in, unknown_label
from models.data.readers import TableRow, read_rows, text_in
from models.data.section import DataSection
from models.data.sources import Source
from models.evaluation.predictions import kind_of
from models.evaluation.statistics import Flags
from models.recipe import RecipeError
from serving.bundles.bundle import Bundle, Manifest
from serving.errors import BundleError
from serving.inference.inputs import Text

_MOST_RANGE_TEXTS = 300
_LARGEST_RANGE_SHARE = 1 / 3


@dataclass(frozen=True)
class Columns:
    """Where a table has its texts, a column for each text of a pair, and its labels, if any.

    `separator` stands between the labels of a cell with multi_label.
    """

    texts: Sequence[str] = ("text",)
    label: str | None = None
    separator: str = ","
    groups: Sequence[str] = ()
    """Columns of groups, for a report by group."""


@dataclass(frozen=True)
class UserTexts:
    """Texts in file order; `names` has the labels of each, or is empty if they have none."""

    texts: list[Text]
    names: list[tuple[str, ...]]
    groups: list[tuple[str, ...]] = field(default_factory=list)
    """The groups of each text, one for each column of them, empty where it is in none."""

    @property
    def sha256(self) -> str:
        """Hash of texts and labels."""
        return hashlib.sha256(json.dumps([self.texts, self.names]).encode()).hexdigest()

    def truth(self, labels: Sequence[str]) -> Flags:
        """Return which of `labels` each text has, of shape (texts, labels)."""
        return np.array([[label in names for label in labels] for names in self.names])

    def drawn(self, most: int, seed: int) -> "UserTexts":
        """Return at most so many of the texts, drawn at random, in random order."""
        places = Random(seed).sample(range(len(self.texts)), min(most, len(self.texts)))  # noqa: S311
        return replace(
            self,
            texts=[self.texts[at] for at in places],
            names=[self.names[at] for at in places] if self.names else [],
            groups=[self.groups[at] for at in places] if self.groups else [],
        )

    def divided(self) -> tuple[list[Text], "UserTexts"]:
        """Divide into texts for the ranges of activations, and others, which judge.

        Equal texts are on one side. Up to 300 different ones, and at most a third, are for ranges;
        a hash decides which.
        """
        different = sorted(dict.fromkeys(self.texts), key=_digest)
        count = min(_MOST_RANGE_TEXTS, int(len(different) * _LARGEST_RANGE_SHARE))
        ranges = set(different[:count])
        if not ranges:
            raise RecipeError(
                f"--data has {len(different)} different texts: some calibrate the formats and "
                "others judge them, so give at least 3, better a thousand"
            )
        left = [index for index, text in enumerate(self.texts) if text not in ranges]
        judging = replace(
            self,
            texts=[self.texts[index] for index in left],
            names=[self.names[index] for index in left] if self.names else [],
            groups=[self.groups[index] for index in left] if self.groups else [],
        )
        return different[:count], judging


def read_texts(files: Sequence[Path], columns: Columns, bundle: Bundle) -> UserTexts:
    """Read tables of texts for the family of `bundle`, whose labels theirs must be.

    Raises RecipeError naming file, line and remedy, BundleError if the family reads other inputs.
    """
    manifest = bundle.manifest
    if manifest.tensors:
        raise BundleError(f"{bundle.folder} reads tensors: texts can neither measure nor change it")
    if manifest.problem_type == "regression":
        raise BundleError(f"{bundle.folder} answers values, not labels: it has no accuracy")
    if len(columns.texts) != 1 + manifest.pairs:
        reads = "pairs of texts: name both columns" if manifest.pairs else "one text: name one"
        raise BundleError(f"{bundle.folder} reads {reads} with --text")
    found = UserTexts([], [])
    section = DataSection(
        files=tuple(map(str, files)),
        labels=tuple(manifest.labels),
        problem_type=kind_of(manifest),
        separator=columns.separator if manifest.multi_label else None,
    )
    wanted = [*columns.texts, *([columns.label] if columns.label is not None else [])]
    wanted += columns.groups
    bad = BadRows()
    made_of = partial(_text_and_names, columns, manifest, section)
    for file in files:
        if not file.exists():
            raise RecipeError(f"{file} does not exist: name a table of texts with --data")
        for text, names, groups in read_rows(Source(file), wanted, made_of, bad):
            found.texts.append(text)
            if columns.label is not None:
                found.names.append(names)
            if columns.groups:
                found.groups.append(groups)
    bad.check()
    check_groups(columns.groups, found.groups)
    return found


def _text_and_names(
    columns: Columns, manifest: Manifest, section: DataSection, row: TableRow
) -> tuple[Text, tuple[str, ...], tuple[str, ...]]:
    texts = [text_in(row.cells[name], row.where) for name in columns.texts]
    names: tuple[str, ...] = ()
    if columns.label is not None:
        names = names_in(row.cells[columns.label], section, row.where) or ()
        for name in names:
            if name not in manifest.labels:
                raise RowError(
                    unknown_label(row.where, name, manifest.labels, "the family's labels")
                )
    groups = tuple(group_in(row.cells[name], row.where) for name in columns.groups)
    return (texts[0], texts[1]) if manifest.pairs else texts[0], names, groups


def _digest(text: Text) -> bytes:
    return hashlib.sha256(json.dumps(text).encode()).digest()
