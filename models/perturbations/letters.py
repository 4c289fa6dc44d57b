"""One letter altered in some of a text's words. Pure."""

from random import Random

from models.perturbations.words import altered

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_FEWEST_LETTERS = 3


def _beside(row: int, at: int) -> str:
    """The keys that touch one: rows of a QWERTY keyboard are set off by half a key."""
    places = [(row, at - 1), (row, at + 1), (row - 1, at), (row - 1, at + 1), (row + 1, at - 1)]
    places.append((row + 1, at))
    return "".join(_ROWS[r][c] for r, c in places if 0 <= r < len(_ROWS) and 0 <= c < len(_ROWS[r]))


NEIGHBOURS = {
    key: _beside(row, at) for row, keys in enumerate(_ROWS) for at, key in enumerate(keys)
}
"""The keys beside each letter of a QWERTY keyboard."""

CONFUSABLES = dict(
    zip(
        "acdeghijlnopqsuvwxyABCEHIJKMNOPSTXYZ",
        "\u0430\u0441\u0501\u0435\u0261\u04bb\u0456\u0458\u04cf\u0578\u043e\u0440\u051b\u0455"
        "\u057d\u0475\u051d\u0445\u0443\u0410\u0412\u0421\u0415\u041d\u0406\u0408\u041a\u041c"
        "\u039d\u041e\u0420\u0405\u0422\u0425\u03a5\u0396",
        strict=True,
    )
)
"""Letters of other scripts that look like those of the Latin alphabet.

From confusables.txt of Unicode Technical Standard 39 (https://www.unicode.org/reports/tr39/).
"""

INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
"""Soft hyphen, zero-width space, non-joiner and joiner, word joiner, no-break space of no width."""


def typos(text: str, strength: float, chosen: Random) -> str:
    """In that share of the words hit the key beside one letter's."""
    return altered(text, strength, chosen, typo)


def doubled(text: str, strength: float, chosen: Random) -> str:
    """In that share of the words write one letter twice."""
    return altered(text, strength, chosen, double)


def dropped(text: str, strength: float, chosen: Random) -> str:
    """In that share of the words of three letters or more leave one letter out."""
    return altered(text, strength, chosen, drop)


def confusables(text: str, strength: float, chosen: Random) -> str:
    """In that share of the words write one letter as one of another script that looks like it."""
    return altered(text, strength, chosen, confusable)


def invisible(text: str, strength: float, chosen: Random) -> str:
    """In that share of the words of two letters or more hide a character that is not shown."""
    return altered(text, strength, chosen, hide)


def typo(word: str, chosen: Random) -> str | None:
    """Replace a letter by one beside it on the keyboard; None if it has none of this keyboard."""
    places = [at for at, letter in enumerate(word) if letter.lower() in NEIGHBOURS]
    if not places:
        return None
    at = chosen.choice(places)
    key = chosen.choice(NEIGHBOURS[word[at].lower()])
    return word[:at] + (key.upper() if word[at].isupper() else key) + word[at + 1 :]


def double(word: str, chosen: Random) -> str | None:
    """Write a letter twice; None if there is no letter."""
    places = [at for at, letter in enumerate(word) if letter.isalpha()]
    if not places:
        return None
    at = chosen.choice(places)
    return word[:at] + word[at] + word[at:]


def drop(word: str, chosen: Random) -> str | None:
    """Leave a letter out; None if there are fewer than three."""
    places = [at for at, letter in enumerate(word) if letter.isalpha()]
    if len(places) < _FEWEST_LETTERS:
        return None
    at = chosen.choice(places)
    return word[:at] + word[at + 1 :]


def confusable(word: str, chosen: Random) -> str | None:
    """Replace a letter by one that looks like it; None if none has such."""
    places = [at for at, letter in enumerate(word) if letter in CONFUSABLES]
    if not places:
        return None
    at = chosen.choice(places)
    return word[:at] + CONFUSABLES[word[at]] + word[at + 1 :]


def hide(word: str, chosen: Random) -> str | None:
    """Put an invisible character between two letters; None if there are fewer than two."""
    places = [at for at in range(1, len(word)) if word[at - 1 : at + 1].isalpha()]
    if not places:
        return None
    at = chosen.choice(places)
    return word[:at] + chosen.choice(INVISIBLE) + word[at:]
