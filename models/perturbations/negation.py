"""Pairs of a sentence and its negation, whose labels differ. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

POSITIVE, NEGATIVE = "positive", "negative"
"""The labels whose meaning is known, so that sentences for them can be written."""

_NOUNS = ("film", "book", "phone", "camera", "service", "hotel", "game", "meal", "story", "price")
_TEMPLATES = (
    ("The {} is good.", "The {} is not good."),
    ("I like the {}.", "I do not like the {}."),
    ("I recommend this {}.", "I do not recommend this {}."),
    ("I am happy with the {}.", "I am not happy with the {}."),
    ("The {} is worth it.", "The {} is not worth it."),
    ("I would choose this {} again.", "I would never choose this {} again."),
    ("I was not disappointed by the {}.", "I was disappointed by the {}."),
    ("There is nothing wrong with the {}.", "There is something wrong with the {}."),
    ("I have no complaints about the {}.", "I have complaints about the {}."),
    ("The {} is not bad at all.", "The {} is bad."),
)


@dataclass(frozen=True)
class Pair:
    """Two sentences that differ in a negation: the first is positive, the second negative."""

    positive: str
    negative: str


def pairs(labels: Sequence[str]) -> list[Pair]:
    """Return the pairs, or none for labels other than positive and negative.

    As the directional tests of CheckList (Ribeiro et al. 2020), they are made from templates, so
    they are a list, not a sample of anything.
    """
    if set(labels) != {POSITIVE, NEGATIVE}:
        return []
    return [
        Pair(positive.format(noun), negative.format(noun))
        for positive, negative in _TEMPLATES
        for noun in _NOUNS
    ]
