"""Divides new texts among the splits of a family's data, so that none that was held out is learnt.

A text that is in a split stays in it. Held-out labels stay too: what judges must be the same for
the old version and the new one, and nobody may move it by feedback. In the train split a new label
takes the place of the old one, since the newest judgement is what is to be learnt.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.data.labelled import (
    LabelledText,
    read_group_report,
    read_labels,
    read_split,
    read_unlabelled,
)
from models.data.section import DataSection
from models.data.splits import SPLITS, assigned, normalised
from models.recipe_sections import Split
from models.retraining.collect import Found, Labelled
from models.retraining.record import Collected
from serving.errors import StartError, failures


@dataclass(frozen=True)
class Row:
    """A text, its labels' names, and its group in each column of `group_report`: empty for none."""

    text: str
    names: tuple[str, ...]
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Divided:
    """All splits, old texts first, then the new ones; and the texts without a label."""

    splits: dict[Split, list[Row]]
    unlabelled: list[str]
    counts: Collected


def divide_new(found: Found, data: Path, section: DataSection) -> Divided:
    """Add what was found to the splits of a data folder, of which `section` is the recipe's.

    A hash decides where a new text goes, as for those of a recipe's `files`, and in every turn
    alike; those without a label that it would hold out are left out, as they may get a label later.
    Equal texts (after `normalised`) count once, and not at all if their labels differ. Raises
    StartError if the folder cannot be read.
    """
    with failures(StartError, f"{data} cannot be read: run `python -m models data` again"):
        splits, before = _old_splits(data, section), read_unlabelled(data)
    places = {
        normalised(row.text): (split, at)
        for split, rows in splits.items()
        for at, row in enumerate(rows)
    }
    everywhere = section.model_copy(update={"splits": {}})
    new, repeated, contradictory = _unique([*found.feedback, *found.tables])
    became: Counter[str] = Counter()
    added: Counter[Split] = Counter()
    for folded, (text, labels) in new.items():
        if folded not in places:
            split = assigned(folded, everywhere)
            splits[split].append(Row(text, labels, ("",) * len(section.group_report)))
            added[split] += 1
            continue
        split, at = places[folded]
        old = splits[split][at]
        became[_what_becomes(split, is_same=old.names == labels)] += 1
        if split == "train":
            splits[split][at] = Row(old.text, labels, old.groups)
    taken = {*places, *new, ""}
    old_texts = [text for text in before if normalised(text) not in new]
    known = {normalised(text) for text in old_texts}
    more = {normalised(text): text for text in found.unlabelled}
    more = {
        folded: text
        for folded, text in more.items()
        if folded not in taken | known and assigned(folded, everywhere) == "train"
    }
    counts = Collected(
        feedback=len(found.feedback),
        tables=len(found.tables),
        unfilled=found.unfilled,
        repeated=repeated,
        contradictory=contradictory,
        held_out=became["held out"] + became["disputed"],
        disputed=became["disputed"],
        corrected=became["corrected"],
        confirmed=became["confirmed"],
        added={split: added[split] for split in SPLITS},
        unlabelled=len(more),
        newest=found.newest,
        table_hashes=found.table_hashes,
    )
    return Divided(splits, [*old_texts, *more.values()], counts)


def _old_splits(data: Path, section: DataSection) -> dict[Split, list[Row]]:
    """Read the splits, with the groups of the recipe's columns as far as they were read before."""
    names, columns = read_labels(data).names, read_group_report(data)

    def row(of: LabelledText) -> Row:
        groups = dict(zip(columns, of.groups, strict=True))
        return Row(
            of.text,
            tuple(sorted(names[at] for at in of.labels)),
            tuple(groups.get(column, "") for column in section.group_report),
        )

    return {split: [row(each) for each in read_split(data, split)] for split in SPLITS}


def _unique(rows: Sequence[Labelled]) -> tuple[dict[str, Labelled], int, int]:
    """Return rows by their folded text, how many repeat one, and how many texts contradict."""
    found: dict[str, list[Labelled]] = {}
    for text, labels in rows:
        if folded := normalised(text):
            found.setdefault(folded, []).append((text, labels))
    agreed = {
        folded: same[0] for folded, same in found.items() if len({each for _, each in same}) == 1
    }
    repeated = sum(len(found[folded]) - 1 for folded in agreed)
    return agreed, repeated, len(found) - len(agreed)


def _what_becomes(split: Split, *, is_same: bool) -> str:
    if split == "train":
        return "confirmed" if is_same else "corrected"
    return "held out" if is_same else "disputed"
