"""Which tokenizers may be slow on a short text, and the texts that show it.

A tokenizer.json may hold regular expressions, which are matched by backtracking: some take longer
than any request lives for sixty characters. Others make one character thousands.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice, pairwise, product
from typing import Any

from serving.bundles.normalization import PATTERNS
from serving.errors import BundleError
from serving.inference.inputs import Encoding, Text, Unreadable

SLOW_S = 0.1
"""A tokenizer takes about 1 ms of CPU time for 1000 characters."""

_LENGTHS = (16, 24, 60, 1000)
_MOST_UNITS = 40
_LONGEST_UNIT = 8
_MOST_GROWTH = 8
_LONGEST_WORD = 200
# GPT-2's, Qwen's, Llama 3's, GPT-4o's, CLIP's and BLOOM's.
_SUFFIXES = "'s|'t|'re|'ve|'m|'ll|'d"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_QUICK = {
    _SUFFIXES + r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    *(f"(?i:{_SUFFIXES})" + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + digits + _REST
      for digits in ("", "{1,3}")),
    r"[^\r\n\p{L}\p{N}]?" + f"{_UPPER}*{_LOWER}+(?i:{_SUFFIXES})?|"
    r"[^\r\n\p{L}\p{N}]?" + f"{_UPPER}+{_LOWER}*(?i:{_SUFFIXES})?|"
    r"\p{N}{1,3}" + _REST.replace(r"[\r\n]*", r"[\r\n/]*"),
    r"<\|startoftext\|>|<\|endoftext\|>|" + _SUFFIXES + r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    " ?[^(\\s|[.,!?…。，、।۔،])]+",  # noqa: RUF001
    *PATTERNS,
}  # fmt: skip
# Characters or classes of them, of which the last may be repeated: nothing to go back to.
_ATOM = r"(?:\\[pP]\{\^?\w+\}|\\[^0-9xXkgGKuBbAzZ]|\[(?:[^\[\]\\&]|\\.)+\]|[^\\()\[\]{}*+?|^$])"
_plain = re.compile(rf"(?:{_ATOM})*{_ATOM}(?:[*+?]|\{{\d+(?:,\d*)?\}})?").fullmatch
_literals = re.compile(r"[^\W_]+").findall
_CLASSES = {
    r"\s": " ", r"\d": "1", r"\w": "a", r"\n": "\n", r"\r": "\r", r"\t": "\t", r"\p{N": "1",
    r"\p{L": "a", r"\p{Lu": "A", r"\p{M": "\u0301", r"\p{P": ".", r"\p{S": "$",
}  # fmt: skip
_USUAL = ("a", " ", "1", "A", ".", "'", "-", "\n", "\u0301", "\u4e2d")


def may_be_slow(tokenizer: Mapping[str, Any]) -> bool:
    """Return whether a parsed tokenizer.json has a part that is not known to be quick."""
    longest = (tokenizer.get("model") or {}).get("max_input_chars_per_word") or 0
    return longest > _LONGEST_WORD or not all(map(_quick, _parts(tokenizer)))


def check_speed(
    tokenizer: Mapping[str, Any],
    encode: Callable[[list[Text]], list[Encoding]],
    *,
    pairs: bool,
    clock: Callable[[], float] = time.thread_time,
) -> None:
    """Raise BundleError if one of the texts that its own patterns suggest takes too long."""
    for text in _texts(tokenizer):
        given: Text = (text, "a") if pairs else text
        began_s = clock()
        (encoding,) = encode([given])
        seconds = clock() - began_s
        reason = encoding.reason if isinstance(encoding, Unreadable) else ""
        if seconds > SLOW_S or "retry-limit" in reason:
            raise BundleError(
                f"tokenizer.json takes {seconds:.2g} s for the {len(text)} characters "
                f"{text[:30]!r}{'...' if len(text) > 30 else ''}"
                f"{f' and gives up ({reason})' if reason else ''}: a part of its normalizer, "
                "pre_tokenizer or model is too slow to serve; replace it"
            )


def _parts(tokenizer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for stage in ("normalizer", "pre_tokenizer"):
        yield from _flat(tokenizer.get(stage))


def _flat(part: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    if part is None:
        return
    yield part
    for each in (*(part.get("normalizers") or ()), *(part.get("pretokenizers") or ())):
        yield from _flat(each)


def _pattern(part: Mapping[str, Any]) -> tuple[str, str]:
    """Return the kind of a part's pattern, and the pattern."""
    pattern = part.get("pattern")
    if isinstance(pattern, Mapping):
        return next(iter(pattern.items()), ("", ""))
    return "", ""


def _patterns(tokenizer: Mapping[str, Any]) -> list[str]:
    return [pattern for _, pattern in map(_pattern, _parts(tokenizer)) if pattern]


def _quick(part: Mapping[str, Any]) -> bool:
    kind, pattern = _pattern(part)
    if len(part.get("content") or "") > _MOST_GROWTH:
        return False
    return kind != "Regex" or pattern in _QUICK or bool(_plain(pattern))


def _texts(tokenizer: Mapping[str, Any]) -> Iterator[str]:
    """Yield repetitions of what the patterns name, the short ones first."""
    units = list(islice(dict.fromkeys(_units(tokenizer)), _MOST_UNITS))
    # What a pattern ends with must be there, or some are not even tried.
    last = "".join(found[-1][-1] for found in map(_literals, _patterns(tokenizer)) if found)
    for length, unit in product(_LENGTHS, units):
        # What a repetition does not match, in its word or in the next.
        for ending in ("", "!", ("z" if unit[-1].isdigit() else "0") + last[:_LONGEST_UNIT]):
            yield (unit * length)[: length - len(ending)] + ending


def _units(tokenizer: Mapping[str, Any]) -> Iterator[str]:
    patterns = _patterns(tokenizer)
    for pattern in patterns:
        yield from (char for name, char in _CLASSES.items() if name in pattern)
        # Without escapes, whose letters stand for others.
        words = re.sub(r"\\(?:[pP]\{\^?\w+\}|.)", " ", pattern)
        for literal in _literals(words):
            yield from literal
        # What stands behind a backslash, and other signs, may be meant literally.
        yield from (char for char in pattern if not char.isalnum())
        for literal in _literals(words):
            yield from ("".join(pair) for pair in pairwise(literal[:_LONGEST_UNIT]))
            yield literal[:_LONGEST_UNIT]
    yield from _USUAL
    for pattern in patterns:
        yield pattern[:_LONGEST_UNIT]
