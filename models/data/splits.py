"""Divides texts into splits, so that no text and no group of texts is in two of them.

It does not know where the texts come from, nor what their labels mean.
"""

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from models.recipe import RecipeError
from models.recipe_sections import DataSection, Split

SPLITS: tuple[Split, ...] = get_args(Split)
_HASH_RANGE = 2**256
# A text of two split files stays in the first of these.
_STRICTEST: tuple[Split, ...] = ("test", "calibration", "validation", "train")


@dataclass(frozen=True)
class Entry:
    """One text of a table. No `names`: unlabelled; no `group`: not for labelling at all.

    `split` is that of its file, None when a hash of the group decides.
    """

    text: str
    names: tuple[str, ...] | None
    group: str | None
    split: Split | None = None
    where: str = ""


def divide(
    entries: Iterable[Entry], section: DataSection
) -> tuple[dict[Split, list[Entry]], list[str]]:
    """Labelled splits and unlabelled text.

    Equal texts (after `normalised`) count once, in the split that is held out most strictly, and
    not at all when their labels differ. Unlabelled are the texts in no bin that belong to no
    held-out group, and those of no group, unless a split has the same text.
    Raises RecipeError when a group is in the files of two splits.
    """
    kept: dict[str, list[Entry]] = {}
    first: dict[str, Entry] = {}
    for entry in entries:
        kept.setdefault(normalised(entry.text), []).append(entry)
        if section.group and entry.group:
            other = first.setdefault(entry.group, entry)
            if other.split != entry.split:
                raise RecipeError(
                    f"{entry.where}: the group {entry.group!r} is also at {other.where}, in a file "
                    "of another split: keep all its rows in one file"
                )
    kept.pop("", None)
    splits: dict[Split, list[Entry]] = {split: [] for split in SPLITS}
    unlabelled = []
    contradictory = repeated = 0
    for same in kept.values():
        rated = [entry for entry in same if entry.names is not None]
        if len({entry.names for entry in rated}) == 1:
            given = {entry.split for entry in rated}
            repeated += len(given) > 1
            fixed = next((split for split in _STRICTEST if split in given), None)
            splits[fixed or _split_of(rated[0], section)].append(rated[0])
        elif rated:
            contradictory += 1
        elif all(not entry.group or _split_of(entry, section) == "train" for entry in same):
            unlabelled.append(same[0].text)
    if contradictory:
        print(f"{contradictory} texts have different labels in different rows: left out")
    if repeated:
        print(f"{repeated} texts are in the files of two splits: kept in the one held out")
    return splits, unlabelled


def _split_of(entry: Entry, section: DataSection) -> Split:
    return entry.split or assigned(entry.group or "", section)


def assigned(group: str, section: DataSection) -> Split:
    """The split of a group, by a seeded hash: the same in every run and for every order.

    A split that has files of its own gets none.
    """
    digest = hashlib.sha256(f"{section.seed} {group}".encode()).hexdigest()
    position = int(digest, 16) / _HASH_RANGE
    shares: tuple[tuple[Split, float], ...] = (
        ("test", section.test_share),
        ("validation", section.validation_share),
        ("calibration", section.calibration_share),
    )
    for split, share in shares:
        if split in section.splits:
            continue
        if position < share:
            return split
        position -= share
    return "train"


def normalised(text: str) -> str:
    """What makes two texts the same: their letters and digits, NFKC, case folded.

    Marks count as letters, as Indic vowel signs are marks. A text of symbols alone, such as an
    emoji, is its symbols; one of punctuation alone is nothing.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    spaced = "".join(
        character if character.isalnum() or unicodedata.category(character)[0] == "M" else " "
        for character in folded
    )
    symbols = (character for character in folded if unicodedata.category(character)[0] == "S")
    return " ".join(spaced.split()) or "".join(symbols)
