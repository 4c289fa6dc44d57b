"""Sentences around a text that should not change what it is about, as in CheckList. Pure.

Ribeiro et al. 2020, "Beyond accuracy: behavioral testing of NLP models with CheckList", call such
a test one of invariance.
"""

from collections.abc import Sequence
from random import Random

NEUTRAL = (
    "I read this on a Tuesday.",
    "The box was blue.",
    "It was ten past four.",
    "My neighbour has two cars.",
    "The street runs from north to south.",
    "There are twelve months in a year.",
    "We sat at the table by the window.",
    "The bus stops in front of the library.",
)
"""Sentences that say nothing for or against anything."""
TAUGHT_NEUTRAL = (
    "My brother lives in another town.",
    "It was a page long.",
    "The door is on the left.",
    "Paper is made from wood.",
    "They met at the station in the morning.",
    "A week has seven days.",
    "Her coat hung in the hall.",
    "The road goes over the river.",
)
"""The like for students to learn from, so that what measures them is new to them."""

FRAMES = (
    "Here is what I want to say: {}",
    "In my own words: {}",
    "To put it in a sentence: {}",
    "{} That is my opinion.",
    "{} Those are my words.",
)
"""Frames around a text that leave its meaning as it is."""
TAUGHT_FRAMES = (
    "As I wrote before: {}",
    "What I think, as asked: {}",
    "My comment is this: {}",
    "{} That is what I have to say.",
    "{} So I wrote.",
)
"""The like for students to learn from."""


def appended(text: str, strength: float, chosen: Random, among: Sequence[str] = NEUTRAL) -> str:
    """Append `strength` different neutral sentences."""
    return " ".join([text, *chosen.sample(among, round(strength))])


def frames(text: str, strength: float, chosen: Random, among: Sequence[str] = FRAMES) -> str:
    """Put `strength` different frames around the text, one inside the other."""
    for frame in chosen.sample(among, round(strength)):
        # Not str.format, to which braces of the text would mean something.
        text = frame.replace("{}", text)
    return text
