"""The words of a text as a reader sees them, whatever the tokenizer, and texts without some."""

import unicodedata
from collections.abc import Sequence
from typing import Literal, NamedTuple

_APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}"
# Scripts written without spaces: Thai, Lao, Tibetan, Myanmar, Khmer, kana, Han.
_UNSPACED = (
    (0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x31F0, 0x31FF),
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F), (0x20000, 0x3FFFF),
)  # fmt: skip

_Kind = Literal["space", "mark", "letter", "unspaced", "symbol"]


class Word(NamedTuple):
    """Characters `start` to `end` of a text; `letters` tells a word from symbols."""

    start: int
    end: int
    letters: bool


def words_of(text: str) -> list[Word]:
    """Divide a text into words, in order; only white space is in none.

    A word is a run of letters and digits, with apostrophes inside; or a run of symbols, such as
    `...` or an emoji. In a script without spaces each character is one. Combining marks and joiners
    stay with what is before them.
    """
    words: list[Word] = []
    start, kind = 0, "space"
    for at, char in enumerate(text):
        its_kind = _kind(char)
        if kind in ("letter", "unspaced", "symbol") and its_kind == "mark":
            continue
        if kind == "letter" and char in _APOSTROPHES and text[at + 1 : at + 2].isalpha():
            continue
        if its_kind == "mark":
            its_kind = "symbol"
        if its_kind == kind and kind != "unspaced":
            continue
        if kind != "space":
            words.append(Word(start, at, kind == "letter"))
        start, kind = at, its_kind
    if kind != "space":
        words.append(Word(start, len(text), kind == "letter"))
    return words


def join(text: str, words: Sequence[Word]) -> str:
    """Return the text of these words alone, in order, each after the white space before it.

    Two words that only become neighbours by this get a space, so that they do not become one.
    """
    parts: list[str] = []
    last = Word(0, 0, letters=False)
    for word in words:
        before = text[last.end : word.start]
        gap = before[len(before.rstrip()) :]
        if last.letters and word.letters and before and not gap:
            gap = " "
        parts.append(gap + text[word.start : word.end])
        last = word
    return "".join(parts).strip()


def _kind(char: str) -> _Kind:
    if char.isspace():
        return "space"
    category = unicodedata.category(char)
    if category[0] == "M" or category == "Cf":
        return "mark"
    if category[0] not in "LN" and char != "_":
        return "symbol"
    point = ord(char)
    if point >= _UNSPACED[0][0] and any(first <= point <= last for first, last in _UNSPACED):
        return "unspaced"
    return "letter"
