"""Divides texts into splits, so that no text and no group of texts is in two of them."""

import hashlib
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import get_args

from models.data.section import DataSection
from models.recipe import RecipeError
from models.recipe_sections import Split

SPLITS: tuple[Split, ...] = get_args(Split)
_HASH_RANGE = 2**256
_NO_CHANCE = 1e-6
_FIRST_SERVED: tuple[Split, ...] = ("train", "test", "validation", "calibration")
# A text in the files of two splits goes to the first of these.
_STRICTEST: tuple[Split, ...] = ("test", "calibration", "validation", "train")


@dataclass(frozen=True)
class Entry:
    """One text of a table, with its label names.

    `names` is None if the text is unlabelled, `group` if its table is. `split` is the split of its
    file; None if a hash of the group decides. `groups` are those of the report by group.
    """

    text: str
    names: tuple[str, ...] | None
    group: str | None
    split: Split | None = None
    where: str = ""
    groups: tuple[str, ...] = ()

    @cached_property
    def folded(self) -> str:
        """What makes the text equal to another's."""
        return normalised(self.text)


def divide(
    entries: Iterable[Entry], section: DataSection
) -> tuple[dict[Split, list[Entry]], list[str]]:
    """Divide the texts into labelled splits and unlabelled texts.

    Equal texts (after `normalised`) count once, in the most strictly held-out split, and not at
    all if their labels differ. Texts without a label become unlabelled texts unless their group is
    held out or a split has the same text. Where the hash gives a split no text of a label, groups
    move there from the split that has most of them. Raises RecipeError when a group is in the files
    of two splits, or the hash has divided the texts before (see `divided_before`).
    """
    kept: dict[str, list[Entry]] = {}
    first: dict[str, Entry] = {}
    for entry in entries:
        kept.setdefault(entry.folded, []).append(entry)
        if section.group and entry.group:
            other = first.setdefault(entry.group, entry)
            if other.split != entry.split:
                raise RecipeError(
                    f"{entry.where}: the group {entry.group!r} is also at {other.where}, in the "
                    "file of another split: keep all rows of a group in one file"
                )
    kept.pop("", None)
    rows = (entry for same in kept.values() for entry in same)
    hashed = (row.group or "" for row in rows if row.names is not None and row.split is None)
    if said := divided_before(hashed, section):
        raise RecipeError(f"{', '.join(section.files)}: {said}: set another `seed` in [data]")
    splits: dict[Split, list[Entry]] = {split: [] for split in SPLITS}
    without: list[list[Entry]] = []
    contradictory = repeated = 0
    for same in kept.values():
        rated = [entry for entry in same if entry.names is not None]
        if len({entry.names for entry in rated}) == 1:
            given = {entry.split for entry in rated}
            repeated += len(given) > 1
            fixed = next((split for split in _STRICTEST if split in given), None)
            splits[fixed or _split_of(rated[0], section)].append(replace(rated[0], split=fixed))
        elif rated:
            contradictory += 1
        else:
            without.append(same)
    moved = _give_each_split_every_label(splits, section)
    unlabelled = [
        same[0].text
        for same in without
        if all(
            not entry.group or moved.get(entry.group, _split_of(entry, section)) == "train"
            for entry in same
        )
    ]
    if contradictory:
        print(f"left out as rows differ in the label: {contradictory} of the texts")
    if repeated:
        print(f"kept {repeated} texts in the held-out one of the two splits with the same text")
    return splits, unlabelled


def row_counts(entries: Iterable[Entry]) -> dict[str, int]:
    """Count the labelled rows: all, those that repeat an equal text, and those in contradiction.

    A contradiction is between all rows of a text whose labels differ; these repeat nothing.
    """
    rated: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.names is not None:
            rated.setdefault(entry.folded, []).append(entry)
    agree = [len({entry.names for entry in same}) == 1 for same in rated.values()]
    sizes = [len(same) for same in rated.values()]
    return {
        "all": sum(sizes),
        "repeated": sum(n - 1 for n, one in zip(sizes, agree, strict=True) if one),
        "contradictory": sum(n for n, one in zip(sizes, agree, strict=True) if not one),
    }


def _give_each_split_every_label(
    splits: dict[Split, list[Entry]], section: DataSection
) -> dict[str, Split]:
    """Move whole groups, so that every split has every label; return where they have gone.

    Train comes first, since there is no training without a text of a label, and for each split the
    rarest label. To no other split does a group move that leaves its own without a label; one whose
    file decides its split stays. What is still missing is printed.
    """
    counts = Counter(name for entries in splits.values() for e in entries for name in e.names or ())
    moved: dict[str, Split] = {}
    for split in _FIRST_SERVED:
        for name in sorted(counts, key=lambda each: (counts[each], each)):
            if any(name in (entry.names or ()) for entry in splits[split]):
                continue
            given = None if split in section.splits else _to_give(name, split, splits, section)
            if given is None:
                print(f"{split} has no text labelled {name!r}, of which there are {counts[name]}")
                continue
            donor, group = given
            moved[group] = split
            splits[split] += [entry for entry in splits[donor] if entry.group == group]
            splits[donor] = [entry for entry in splits[donor] if entry.group != group]
    return moved


def _to_give(
    name: str, taker: Split, splits: dict[Split, list[Entry]], section: DataSection
) -> tuple[Split, str] | None:
    """Return a split and a group of it with this label, all of whose labels others of it have too.

    Where there is none, train takes a group that is the last one with a label.
    """
    last: tuple[Split, str] | None = None

    def holds(split: Split) -> int:
        return sum(name in (entry.names or ()) for entry in splits[split])

    for donor in sorted(SPLITS, key=holds, reverse=True):
        groups: dict[str, list[Entry]] = {}
        for entry in splits[donor]:
            groups.setdefault(entry.group or "", []).append(entry)
        having = Counter(
            label for each in groups.values() for label in {n for e in each for n in e.names or ()}
        )
        for group in sorted(groups, key=lambda each: _digest(each, section)):
            labels = {label for entry in groups[group] for label in entry.names or ()}
            is_free = all(entry.split is None for entry in groups[group])
            if not is_free or name not in labels:
                continue
            if all(having[label] > 1 for label in labels):
                return donor, group
            last = last or (donor, group)
    return last if taker == "train" else None


def _digest(group: str, section: DataSection) -> str:
    return hashlib.sha256(f"{section.seed} {group}".encode()).hexdigest()


def _split_of(entry: Entry, section: DataSection) -> Split:
    return entry.split or assigned(entry.group or "", section)


def assigned(group: str, section: DataSection) -> Split:
    """Assign a group to a split by a seeded hash, in any order and run the same.

    A split with files of its own gets no group.
    """
    position = int(_digest(group, section), 16) / _HASH_RANGE
    for split, share in _held_out(section).items():
        if position < share:
            return split
        position -= share
    return "train"


def divided_before(groups: Iterable[str], section: DataSection) -> str:
    """Say that the hash seems to have divided these groups before; empty if it does not.

    All texts of an earlier build's train split would be drawn for train again, and none be left to
    test on. It is said where a split gets less than half of its share, and chance would give it so
    few less than once in 10^6 (Chernoff 1952). A few such texts, or some among many others, are not
    noticed.
    """
    counts = Counter(assigned(group, section) for group in set(groups))
    total = counts.total()
    for split, share in _shares(section).items():
        is_less = counts[split] < total * share / 2
        if is_less and total * _divergence(counts[split] / total, share) > -math.log(_NO_CHANCE):
            return (
                f"the seed {section.seed!r} draws {counts[split]:,} of {total:,} texts or groups "
                f"for {split}, although its share is {100 * share:.3g} %: they seem to have been "
                "divided by it before, for a build whose models may know them"
            )
    return ""


def _divergence(drawn: float, share: float) -> float:
    """Kullback and Leibler's, of a share that was drawn from the one that was to be expected."""
    pairs = ((drawn, share), (1 - drawn, 1 - share))
    return sum(a * math.log(a / b) for a, b in pairs if a)


def _shares(section: DataSection) -> dict[Split, float]:
    held_out = _held_out(section)
    return held_out | {"train": 1 - sum(held_out.values())}


def _held_out(section: DataSection) -> dict[Split, float]:
    """The shares of the groups that the hash draws; a split with files of its own has none."""
    shares: dict[Split, float] = {
        "test": section.test_share,
        "validation": section.validation_share,
        "calibration": section.calibration_share,
    }
    return {split: share for split, share in shares.items() if split not in section.splits}


def normalised(text: str) -> str:
    """Reduce a text to what makes it equal to another: its letters and digits, NFKC, case folded.

    Marks count as letters, because Indic vowel signs are marks. A text of symbols alone, such as
    an emoji, becomes its symbols; a text of punctuation alone becomes empty.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    spaced = "".join(
        character if character.isalnum() or unicodedata.category(character)[0] == "M" else " "
        for character in folded
    )
    symbols = (character for character in folded if unicodedata.category(character)[0] == "S")
    return " ".join(spaced.split()) or "".join(symbols)
