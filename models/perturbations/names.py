"""The names of the kinds of perturbation."""

from typing import Literal

Perturbation = Literal[
    "typos", "doubled", "dropped", "confusables", "invisible", "case", "punctuation", "whitespace",
    "emoji", "word-order", "truncation", "appended", "frames",
]  # fmt: skip
