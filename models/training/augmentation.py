"""Augmentation: altered copies of texts, for a teacher to label.

Most copies by `mixing` mean something else than their originals, whose labels do not apply.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from models.perturbations.kinds import KINDS, taught
from models.perturbations.names import Perturbation

_MASKED_SHARE = 0.1
_DROPPED_SHARE = 0.1
_EXCHANGED_TEXTS_SHARE = 0.5


@dataclass(frozen=True)
class Augmented:
    """Texts and their altered copies; `answered_as` has the index of the text to answer, of each.

    That is the original for a copy that keeps its meaning, so that a student learns not to be
    misled as its teacher may be, and else the text itself.
    """

    texts: list[str]
    answered_as: list[int]

    def asked(self) -> tuple[list[str], list[int]]:
        """Return the texts to ask a teacher, and which of its answers each text has."""
        asked = sorted(set(self.answered_as))
        place = {at: row for row, at in enumerate(asked)}
        return [self.texts[at] for at in asked], [place[at] for at in self.answered_as]


def augmented(
    texts: Sequence[str],
    copies: int,
    seed: int,
    mask: str | None,
    kinds: Sequence[Literal["mixing"] | Perturbation] = ("mixing",),
) -> Augmented:
    """Add `copies` altered copies of every text: a copy of each, then another of each.

    The kinds take turns, from text to text and from copy to copy; a perturbation has one of its
    strengths. With `mixing` half of the copies have a span of words replaced by one of another
    text. Then a tenth of the words is replaced by the word `mask`, unless that is None, and a tenth
    is dropped, but never all (Tang et al. 2019, "Distilling task-specific knowledge from BERT into
    simple neural networks"). Words are separated by whitespace.
    """
    chosen = random.Random(seed)  # noqa: S311 (copies, not secrets)
    words = [text.split() for text in texts]
    found = Augmented(list(texts), list(range(len(texts))))
    for copy in range(copies):
        for at, text in enumerate(texts):
            kind = kinds[(at + copy) % len(kinds)]
            if kind == "mixing":
                made = " ".join(_altered(words[at], chosen.choice(words), chosen, mask))
            else:
                made = taught(text, kind, chosen)
            same = kind != "mixing" and KINDS[kind].keeps_meaning
            found.answered_as.append(at if same else len(found.texts))
            found.texts.append(made)
    return found


def _altered(
    own: list[str], other: list[str], chosen: random.Random, mask: str | None
) -> list[str]:
    words = own
    if chosen.random() < _EXCHANGED_TEXTS_SHARE:
        start, end = _span(own, chosen)
        other_start, other_end = _span(other, chosen)
        words = own[:start] + other[other_start:other_end] + own[end:]
    result = []
    for word in words:
        draw = chosen.random()
        if draw < _MASKED_SHARE:
            result.append(mask or word)
        elif draw >= _MASKED_SHARE + _DROPPED_SHARE:
            result.append(word)
    return result or words


def _span(words: list[str], chosen: random.Random) -> tuple[int, int]:
    """Start and end of a random part of at least one word."""
    start = chosen.randrange(len(words))
    return start, chosen.randint(start + 1, len(words))
