"""Divides texts into splits, so that no text and no group of texts is in two of them."""

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from models.recipe import RecipeError
from models.recipe_sections import DataSection, Split

SPLITS: tuple[Split, ...] = get_args(Split)
_HASH_RANGE = 2**256
# A text in the files of two splits goes to the first of these.
_STRICTEST: tuple[Split, ...] = ("test", "calibration", "validation", "train")


@dataclass(frozen=True)
class Entry:
    """One text of a table, with its label names.

    `names` is None if the text is unlabelled, `group` if its table is. `split` is the split of its
    file; None if a hash of the group decides.
    """

    text: str
    names: tuple[str, ...] | None
    group: str | None
    split: Split | None = None
    where: str = ""


def divide(
    entries: Iterable[Entry], section: DataSection
) -> tuple[dict[Split, list[Entry]], list[str]]:
    """Divide the texts into labelled splits and unlabelled texts.

    Equal texts (after `normalised`) count once, in the most strictly held-out split, and not at
    all if their labels differ. Texts without a label become unlabelled texts unless their group is
    held out or a split has the same text. Raises RecipeError when a group is in the files of two
    splits.
    """
    kept: dict[str, list[Entry]] = {}
    first: dict[str, Entry] = {}
    for entry in entries:
        kept.setdefault(normalised(entry.text), []).append(entry)
        if section.group and entry.group:
            other = first.setdefault(entry.group, entry)
            if other.split != entry.split:
                raise RecipeError(
                    f"{entry.where}: the group {entry.group!r} is also at {other.where}, in the "
                    "file of another split: keep all rows of a group in one file"
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
        print(f"left out {contradictory} texts with different labels in different rows")
    if repeated:
        print(f"kept {repeated} texts in the held-out one of the two splits with the same text")
    return splits, unlabelled


def _split_of(entry: Entry, section: DataSection) -> Split:
    return entry.split or assigned(entry.group or "", section)


def assigned(group: str, section: DataSection) -> Split:
    """Assign a group to a split by a seeded hash, in any order and run the same.

    A split with files of its own gets no group.
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
