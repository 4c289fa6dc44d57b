"""Rated sentences to labelled splits and unlabelled text, with no text or review in two of them.

It does not know where the sentences were fetched from, nor what is trained on them.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from models.recipe import DataSection
from models.workshop import Job

Split = Literal["train", "validation", "calibration", "test"]
LABELS = ("negative", "positive")
UNLABELLED = "unlabelled"
_MOVIES, _PRODUCTS, _TWEETS, _NEWS = (
    f"{name}_GroundTruth.txt"
    for name in ("movieReviewSnippets", "amazonReviewSnippets", "tweets", "nytEditorialSnippets")
)
_HASH_RANGE = 2**256


@dataclass(frozen=True)
class Sentence:
    """One rated text. `group` is what must stay within one split; None: not for labelling."""

    text: str
    rating: float
    group: str | None


@dataclass(frozen=True)
class Labelled:
    """A text with the index of its label in LABELS."""

    text: str
    label: int


def run(job: Job) -> None:
    """Write one `<split>.jsonl` a split, and `unlabelled.jsonl` for distillation."""
    section = job.root.data
    assert section is not None
    splits, unlabelled = divide(read_sentences(job.inputs["sources"] / "sentences"), section)
    for split, rows in splits.items():
        _write_lines(split_path(job.output, split), [asdict(row) for row in rows])
    _write_lines(job.output / f"{UNLABELLED}.jsonl", [{"text": text} for text in unlabelled])


def read_split(folder: Path, split: Split) -> list[Labelled]:
    """The labelled texts of one split, in file order."""
    return [Labelled(**row) for row in _read_lines(split_path(folder, split))]


def read_unlabelled(folder: Path) -> list[str]:
    """The unlabelled texts, in file order."""
    return [row["text"] for row in _read_lines(folder / f"{UNLABELLED}.jsonl")]


def split_path(folder: Path, split: Split) -> Path:
    """The file whose sha256 names the split."""
    return folder / f"{split}.jsonl"


def read_sentences(folder: Path) -> Iterator[Sentence]:
    """Every rated sentence: `id TAB mean rating TAB text`, UTF-8; sentence 3 of review 7 is `7_3`.

    Tweets and news have no group: they are never labelled.
    """
    for name in tqdm((_MOVIES, _PRODUCTS, _TWEETS, _NEWS), desc="data", unit="file"):
        for line in filter(None, (folder / name).read_text(encoding="utf-8").split("\n")):
            identifier, rating, text = line.split("\t", 2)
            group = {
                _MOVIES: f"movie {normalised(text)}",
                _PRODUCTS: f"product {identifier.partition('_')[0]}",
            }.get(name)
            yield Sentence(text.strip(), float(rating), group)


def divide(
    sentences: Iterable[Sentence], section: DataSection
) -> tuple[dict[Split, list[Labelled]], list[str]]:
    """Labelled splits and unlabelled text.

    The label is the sign of the rating. Equal texts (after `normalised`) count once, and not at
    all when their labels differ. Unlabelled are the sentences that are near zero and belong to
    no held-out group, and those of no group, unless a split has the same text.
    """
    kept: dict[str, list[Sentence]] = {}
    for sentence in sentences:
        kept.setdefault(normalised(sentence.text), []).append(sentence)
    kept.pop("", None)
    splits: dict[Split, list[Labelled]] = {
        "train": [], "validation": [], "calibration": [], "test": []
    }  # fmt: skip
    unlabelled = []
    for same in kept.values():
        rated = [s for s in same if s.group and abs(s.rating) >= section.neutral_below]
        labels = {int(s.rating > 0) for s in rated}
        if len(labels) == 1:
            group = rated[0].group
            assert group is not None
            splits[assigned(group, section)].append(Labelled(rated[0].text, labels.pop()))
        elif not rated and all(not s.group or assigned(s.group, section) == "train" for s in same):
            unlabelled.append(same[0].text)
    return splits, unlabelled


def assigned(group: str, section: DataSection) -> Split:
    """The split of a group, by a seeded hash: the same in every run and for every order."""
    digest = hashlib.sha256(f"{section.seed} {group}".encode()).hexdigest()
    position = int(digest, 16) / _HASH_RANGE
    shares: tuple[tuple[Split, float], ...] = (
        ("test", section.test_share),
        ("validation", section.validation_share),
        ("calibration", section.calibration_share),
    )
    for split, share in shares:
        if position < share:
            return split
        position -= share
    return "train"


def normalised(text: str) -> str:
    """What makes two texts the same: NFKC, case folded, punctuation and spaces collapsed."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[\W_]+", " ", folded).strip()


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="ascii")


def _read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
