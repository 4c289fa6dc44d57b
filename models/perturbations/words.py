"""The words and gaps of a text, some of them altered, and all else left as it is. Pure."""

import re
from collections.abc import Callable
from random import Random

_WORD, _GAP = re.compile(r"\S+"), re.compile(r"(?<=\S)\s+(?=\S)")
_MARKS = ",.;:!?"
_ADDED_MARKS = ",.;:"
_BLANKS = ("  ", "   ", "\t", "\n", "\u00a0", "\u2003", " \n")
_EMOJI = "📷📱📦📍🔑🚪🧾🪑🗂📎🖨🚲🗓🕒🎫📼"


def altered(
    text: str,
    strength: float,
    chosen: Random,
    alter: Callable[[str, Random], str | None],
    parts: re.Pattern[str] = _WORD,
) -> str:
    """Alter that share of a text's parts, at least one; `alter` says None where it cannot.

    Parts are words unless `parts` matches others. A text without one that can be altered is
    returned as it is.
    """
    able = [
        (found, other)
        for found in parts.finditer(text)
        if (other := alter(found[0], chosen)) not in (None, found[0])
    ]
    count = min(len(able), max(1, round(strength * len(able))))
    result, end = [], 0
    for at in sorted(chosen.sample(range(len(able)), count)):
        found, other = able[at]
        result += [text[end : found.start()], other or ""]
        end = found.end()
    return "".join([*result, text[end:]])


def case(text: str, strength: float, chosen: Random) -> str:
    """Write that share of the words in capitals, or in small letters if they are capitals."""
    return altered(text, strength, chosen, whole_case)


def punctuation(text: str, strength: float, chosen: Random) -> str:
    """Put a mark after that share of the words, or remove the marks that are there."""

    def other(word: str, chosen: Random) -> str:
        return (
            word.rstrip(_MARKS) or word
            if word[-1] in _MARKS
            else word + chosen.choice(_ADDED_MARKS)
        )

    return altered(text, strength, chosen, other)


def whitespace(text: str, strength: float, chosen: Random) -> str:
    """Replace that share of the gaps between words by other white space."""
    return altered(text, strength, chosen, lambda _, chosen: chosen.choice(_BLANKS), _GAP)


def emoji(text: str, strength: float, chosen: Random) -> str:
    """Put `strength` emoji of things after words drawn at random."""
    words = list(_WORD.finditer(text))
    places = [chosen.choice(words).end() if words else len(text) for _ in range(round(strength))]
    for place in sorted(places, reverse=True):
        text = f"{text[:place]} {chosen.choice(_EMOJI)}{text[place:]}"
    return text


def word_order(text: str, strength: float, chosen: Random) -> str:
    """Move that share of the words, two at least, each to the place of another."""
    words = list(_WORD.finditer(text))
    if len(words) < 2:
        return text
    count = min(len(words), max(2, round(strength * len(words))))
    moved = chosen.sample(range(len(words)), count)
    to = dict(zip(moved, [*moved[1:], moved[0]], strict=True))
    result, end = [], 0
    for at, word in enumerate(words):
        result += [text[end : word.start()], words[to.get(at, at)][0]]
        end = word.end()
    return "".join([*result, text[end:]])


def truncation(text: str, strength: float, chosen: Random) -> str:  # noqa: ARG001 (as all kinds)
    """Cut that share of the words off at the end, at least one, but never the first."""
    words = list(_WORD.finditer(text))
    kept = len(words) - max(1, round(strength * len(words)))
    return text[: words[max(1, kept) - 1].end()] if words else text


def whole_case(word: str, _: Random) -> str:
    """Write a word in capitals, or in small letters if it is in capitals."""
    capital = word.upper()
    return capital if capital != word else word.lower()
