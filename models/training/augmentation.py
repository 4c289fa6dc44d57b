"""Altered copies of texts, for a teacher to answer: words masked or dropped, spans exchanged.

It does not know what the copies are labelled; most mean something else than their originals.
"""

import random
from collections.abc import Sequence

_MASKED_SHARE = 0.1
_DROPPED_SHARE = 0.1
_EXCHANGED_TEXTS_SHARE = 0.5


def augmented(texts: Sequence[str], copies: int, seed: int, mask: str | None) -> list[str]:
    """`copies` altered copies of every text, copy by copy in the order of the texts.

    Of half the copies a span of words is exchanged for one of another text; then a tenth of the
    words is masked with the word `mask`, if there is one, and a tenth is dropped, but never all.
    After Tang et al. 2019, "Distilling task-specific knowledge from BERT into simple neural
    networks". Words are what whitespace parts.
    """
    chosen = random.Random(seed)  # noqa: S311 (copies, not secrets)
    words = [text.split() for text in texts]
    return [
        " ".join(_altered(own, chosen.choice(words), chosen, mask))
        for _ in range(copies)
        for own in words
    ]


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
    """A part of at least one word."""
    start = chosen.randrange(len(words))
    return start, chosen.randint(start + 1, len(words))
