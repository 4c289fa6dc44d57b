"""Input normalisation: what a tokenizer.json does to a text before all else. Pure.

It is written as normalizers of the `tokenizers` library, so training, evaluation, serving, offline
jobs and other programs that load the file read a text alike, and offsets are those of the original.
None of it changes ASCII.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

Normalization = Literal["invisible", "nfkc", "confusables"]
Part = Mapping[str, Any]
"""A normalizer as tokenizer.json has it."""

_LOOK_ALIKES = {
    "a": "\u03b1\u0430", "b": "\u042c", "c": "\u0441", "d": "\u0501", "e": "\u0435\u04bd",
    "f": "\u0584", "g": "\u0261\u0581", "h": "\u04bb\u0570", "i": "\u03b9\u0456",
    "j": "\u03f3\u0458", "l": "\u04cf", "n": "\u0578\u057c", "o": "\u03bf\u03c3\u043e\u0585",
    "p": "\u03c1\u0440", "q": "\u051b\u0563\u0566", "r": "\u0433", "s": "\u0455",
    "u": "\u03c5\u057d", "v": "\u03bd\u0475", "w": "\u0461\u051d\u0561", "x": "\u0445",
    "y": "\u03b3\u0443\u04af", "A": "\u0391\u0410", "B": "\u0392\u0412", "C": "\u0421",
    "E": "\u0395\u0415", "F": "\u03dc", "G": "\u050c", "H": "\u0397\u041d",
    "I": "\u0399\u0406\u04c0", "J": "\u037f\u0408", "K": "\u039a\u041a", "M": "\u039c\u03fa\u041c",
    "N": "\u039d", "O": "\u039f\u041e\u0555", "P": "\u03a1\u0420", "S": "\u0405\u054f",
    "T": "\u03a4\u0422", "U": "\u054d", "V": "\u0474", "W": "\u051c", "X": "\u03a7\u0425",
    "Y": "\u03a5\u0423\u04ae", "Z": "\u0396",
}  # fmt: skip
"""Latin letter -> letters of Greek, Cyrillic and Armenian that look like it, and IPA's g.

From confusables.txt of Unicode Technical Standard 39 (https://www.unicode.org/reports/tr39/).
"""
_ALL = "".join(_LOOK_ALIKES.values())
_LATIN_OR_ALIKE = rf"[\p{{Latin}}\p{{M}}{_ALL}]"
_FOREIGN = rf"[\p{{L}}&&[^\p{{Latin}}{_ALL}]]"
# Letters that count on either side. The bound keeps the rules linear.
_REACH = "{0,15}"
# In a word that has a Latin letter, and none that is neither Latin nor looks like it.
_IN_LATIN_WORD = (
    rf"(?<!{_FOREIGN}{_LATIN_OR_ALIKE}{_REACH}.)(?!{_LATIN_OR_ALIKE}{_REACH}{_FOREIGN})"
    rf"(?:(?<=\p{{Latin}}{_LATIN_OR_ALIKE}{_REACH}.)|(?={_LATIN_OR_ALIKE}{_REACH}\p{{Latin}}))"
)
# Unicode's Default_Ignorable_Code_Point but for those that may have a meaning.
_NEVER_SHOWN = (
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
# Joiners and variation selectors, where they join neither emoji nor letters of a joining script.
_IDLE = (
    r"(?<![^\p{Latin}\p{Greek}\p{Cyrillic}\p{Armenian}\p{Georgian}\p{Hebrew}\p{N}\p{P}\s])"
    "[\u180b-\u180f\u200c\u200d\ufe00-\ufe0f]+"
)


def _replace(pattern: str, content: str) -> Part:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


_PARTS: Mapping[Normalization, Sequence[Part]] = {
    "invisible": [_replace(_NEVER_SHOWN, ""), _replace(_IDLE, "")],
    "nfkc": [{"type": "NFKC"}],
    "confusables": [
        # Alternatives of one letter, which the library finds far faster than a class.
        _replace(f"(?:{'|'.join(alike)}){_IN_LATIN_WORD}", letter)
        for letter, alike in _LOOK_ALIKES.items()
    ],
}
PATTERNS = frozenset(
    part["pattern"]["Regex"] for parts in _PARTS.values() for part in parts if "pattern" in part
)
"""Every regular expression of a normalisation; each takes linear time."""
EXAMPLES: Mapping[Normalization, tuple[str, str]] = {
    "invisible": ("go\u200bod ba\u00add", "good bad"),
    "nfkc": ("\uff47\uff4f\uff4f\uff44 \U0001d41b\U0001d41a\U0001d41d", "good bad"),
    "confusables": ("g\u043eod b\u0430d", "good bad"),
}
"""For each kind a text, and what it is normalised to."""


def normalized(tokenizer: Mapping[str, Any], kinds: Sequence[Normalization]) -> dict[str, Any]:
    """Return a parsed tokenizer.json that normalises so, and so only, before its own normalizer."""
    own = own_normalizer(tokenizer)
    if not kinds:
        return {**tokenizer, "normalizer": own}
    first = {"type": "Sequence", "normalizers": _parts(kinds)}
    both = [first] if own is None else [first, own]
    return {**tokenizer, "normalizer": {"type": "Sequence", "normalizers": both}}


def kinds_of(tokenizer: Mapping[str, Any]) -> tuple[Normalization, ...]:
    """Return what `normalized` has made a parsed tokenizer.json do, in the order of its doing."""
    first = _first(tokenizer)
    every: tuple[Normalization, ...] = get_args(Normalization)
    chosen = tuple(kind for kind in every if all(part in first for part in _PARTS[kind]))
    return chosen if _parts(chosen) == first else ()


def own_normalizer(tokenizer: Mapping[str, Any]) -> Any:
    """Return a parsed tokenizer.json's normalizer, but for what `normalized` has added."""
    normalizer = tokenizer.get("normalizer")
    if not kinds_of(tokenizer):
        return normalizer
    own: list[Any] = normalizer["normalizers"][1:] if normalizer else []
    return own[0] if own else None


def _parts(kinds: Sequence[Normalization]) -> list[Part]:
    return [part for kind, parts in _PARTS.items() if kind in kinds for part in parts]


def _first(tokenizer: Mapping[str, Any]) -> Sequence[Part]:
    """The normalizers of a sequence that is the first of at most two, as `normalized` writes it."""
    match tokenizer.get("normalizer"):
        case {"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": first}]}:
            return list(first)
        case {"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": first}, _]}:
            return list(first)
    return []
