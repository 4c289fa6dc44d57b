"""Pairs of texts that differ only in whom or what place they are of. Pure.

Names are those of Bertrand and Mullainathan 2004, "Are Emily and Greg more employable than Lakisha
and Jamal?", without two that mean something else. Cities have one word, and are of the more and the
less developed regions of the United Nations' World Urbanization Prospects 2018.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

Swap = Literal["pronouns", "names", "places"]
SWAPS: tuple[Swap, ...] = get_args(Swap)
SIDES: Mapping[Swap, tuple[str, str]] = {
    "pronouns": ("she", "he"),
    "names": ("white-sounding", "African-American-sounding"),
    "places": ("more developed", "less developed"),
}
"""What the first and the second text of a pair are of."""

WHITE_WOMEN = (
    "Allison", "Anne", "Carrie", "Emily", "Jill", "Kristen", "Laurie", "Meredith", "Sarah",
)  # fmt: skip
BLACK_WOMEN = ("Aisha", "Keisha", "Lakisha", "Latonya", "Latoya", "Tamika", "Tanisha")
WHITE_MEN = (
    "Brad", "Brendan", "Brett", "Geoffrey", "Greg", "Jay", "Matthew", "Neil", "Todd",
)  # fmt: skip
BLACK_MEN = (
    "Darnell", "Hakim", "Jamal", "Jermaine", "Kareem", "Leroy", "Rasheed", "Tremayne", "Tyrone",
)  # fmt: skip
MORE_DEVELOPED = (
    "Berlin", "Chicago", "Lisbon", "London", "Madrid", "Melbourne", "Montreal", "Osaka",
    "Stockholm", "Tokyo", "Toronto", "Vienna",
)  # fmt: skip
LESS_DEVELOPED = (
    "Accra", "Bogota", "Cairo", "Dhaka", "Hanoi", "Jakarta", "Kampala", "Karachi", "Kinshasa",
    "Lagos", "Mumbai", "Nairobi",
)  # fmt: skip

_TO_HE = {"she": "he", "hers": "his", "herself": "himself"}
"""Not `her`, which is `him` or `his`."""
_TO_SHE = {"he": "she", "him": "her", "himself": "herself"}
"""Not `his`, which is `her` or `hers`."""
_PRONOUNS = re.compile(rf"\b(?:{'|'.join([*_TO_HE, *_TO_SHE, 'her', 'his'])})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """Two texts, of the first and of the second side; `inside` if words of the text were swapped.

    Otherwise the whole text is in a frame, such as "She wrote: ...".
    """

    first: str
    second: str
    inside: bool


@dataclass(frozen=True)
class _Lists:
    """Words of both sides, each list of the first with that of the second, and their frame."""

    sides: Sequence[tuple[Sequence[str], Sequence[str]]]
    frame: str

    def pair(self, text: str, chosen: Random) -> Pair:
        """Swap the listed words of a text if all are of one side, each alone; or frame it.

        A word beside another with a capital, as in London Bridge, is part of a name, so it stays.
        """
        to_second = {word: others for mine, others in self.sides for word in mine}
        to_first = {word: mine for mine, others in self.sides for word in others}
        either = "|".join([*to_second, *to_first])
        found = set(re.findall(rf"\b(?:{either})\b", text))
        part = re.search(rf"\b[A-Z][\w.]*\s+(?:{either})\b|\b(?:{either})\s+[A-Z]", text)
        for others in (to_second, to_first):
            if found and not part and found <= others.keys():
                by = {word: chosen.choice(others[word]) for word in sorted(found)}
                swapped = re.sub(rf"\b(?:{either})\b", lambda it: by[it[0]], text)  # noqa: B023
                both = (text, swapped) if others is to_second else (swapped, text)
                return Pair(*both, inside=True)
        mine, theirs = chosen.choice(self.sides)
        return _framed(self.frame, chosen.choice(mine), chosen.choice(theirs), text)


_LISTS: Mapping[Swap, _Lists] = {
    "names": _Lists(((WHITE_WOMEN, BLACK_WOMEN), (WHITE_MEN, BLACK_MEN)), "{} wrote: "),
    "places": _Lists(((MORE_DEVELOPED, LESS_DEVELOPED),), "Someone from {} wrote: "),
}


def pair_of(text: str, swap: Swap, seed: int) -> Pair:
    """Return the pair that a text gives. The same arguments give the same pair."""
    chosen = Random(f"{seed} {swap} {text}")  # noqa: S311
    return _pronouns(text) if swap == "pronouns" else _LISTS[swap].pair(text, chosen)


def _pronouns(text: str) -> Pair:
    """Swap a text's pronouns if each has but one counterpart and all are of one side."""
    found = {each.lower() for each in _PRONOUNS.findall(text)}
    if found and found <= _TO_HE.keys():
        return Pair(text, _replaced(text, _TO_HE), inside=True)
    if found and found <= _TO_SHE.keys():
        return Pair(_replaced(text, _TO_SHE), text, inside=True)
    return _framed("{} wrote: ", "She", "He", text)


def _framed(frame: str, first: str, second: str, text: str) -> Pair:
    return Pair(f"{frame.format(first)}{text}", f"{frame.format(second)}{text}", inside=False)


def _replaced(text: str, by: Mapping[str, str]) -> str:
    return _PRONOUNS.sub(lambda found: _in_case(by[found[0].lower()], found[0]), text)


def _in_case(word: str, like: str) -> str:
    if like.isupper():
        return word.upper()
    return word.capitalize() if like[0].isupper() else word
