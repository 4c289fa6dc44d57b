"""Every kind of perturbation: what it does, its strengths, and what a strength is. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import get_args

from models.perturbations import letters, sentences, words
from models.perturbations.names import Perturbation

Alter = Callable[[str, float, Random], str]


@dataclass(frozen=True)
class Kind:
    """A kind: the function, the strengths at which texts are altered, and their unit.

    `taught` replaces the function where students learn, so that they do not learn the very
    sentences that measure them. Unless it `keeps_meaning`, an altered text may deserve another
    answer.
    """

    alter: Alter
    strengths: tuple[float, ...]
    unit: str
    taught: Alter | None = None
    keeps_meaning: bool = True


_SOME, _MOST, _FEW = (0.1, 0.3), (0.3, 1.0), (1.0, 3.0)

KINDS: Mapping[Perturbation, Kind] = {
    "typos": Kind(letters.typos, _SOME, "of the words"),
    "doubled": Kind(letters.doubled, _SOME, "of the words"),
    "dropped": Kind(letters.dropped, _SOME, "of the words"),
    "confusables": Kind(letters.confusables, _SOME, "of the words"),
    "invisible": Kind(letters.invisible, _SOME, "of the words"),
    "case": Kind(words.case, _MOST, "of the words"),
    "punctuation": Kind(words.punctuation, _SOME, "of the words"),
    "whitespace": Kind(words.whitespace, _MOST, "of the gaps"),
    "emoji": Kind(words.emoji, _FEW, "a text"),
    "word-order": Kind(words.word_order, _MOST, "of the words", keeps_meaning=False),
    "truncation": Kind(words.truncation, (0.25, 0.5), "of the words", keeps_meaning=False),
    "appended": Kind(
        sentences.appended,
        _FEW,
        "a text",
        partial(sentences.appended, among=sentences.TAUGHT_NEUTRAL),
    ),
    "frames": Kind(
        sentences.frames,
        (1.0, 2.0),
        "a text",
        partial(sentences.frames, among=sentences.TAUGHT_FRAMES),
    ),
}
"""The kinds, in the order in which they are reported."""

assert set(KINDS) == set(get_args(Perturbation)), "this is a bug: a kind has no function"

KEEP_MEANING = tuple(kind for kind, each in KINDS.items() if each.keeps_meaning)
"""The kinds after which a text deserves the same answer."""


def perturbed(texts: Sequence[str], kind: Perturbation, strength: float, seed: int) -> list[str]:
    """Alter each text. The same arguments give the same texts, whichever others are altered."""
    return [
        KINDS[kind].alter(text, strength, Random(f"{seed} {kind} {strength} {text}"))  # noqa: S311
        for text in texts
    ]


def taught(text: str, kind: Perturbation, chosen: Random) -> str:
    """Alter a text from which a student is to learn, at one of the kind's strengths."""
    found = KINDS[kind]
    return (found.taught or found.alter)(text, chosen.choice(found.strengths), chosen)


def in_words(kind: str, strength: float) -> str:
    """Say how strong a perturbation is, as `30 % of the words` or `3 a text`.

    A kind that is not known, as another version may have had, has the bare number.
    """
    unit = next((each.unit for name, each in KINDS.items() if name == kind), "")
    if unit.startswith("of "):
        return f"{100 * strength:.0f} % {unit}"
    return f"{strength:g} {unit}".rstrip()
