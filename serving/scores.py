"""Logits to probabilities, for one text. Pure.

It does not know which labels they are of.
"""

import math
from collections.abc import Sequence


def softmax(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Probabilities that sum to 1, from one text's finite logits (temperature: Guo et al. 2017)."""
    largest = max(logits)
    exponentials = [math.exp((logit - largest) / temperature) for logit in logits]
    total = sum(exponentials)
    return [exponential / total for exponential in exponentials]


def sigmoid(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Independent probabilities, from one text's finite logits."""
    return [0.5 * (1.0 + math.tanh(0.5 * logit / temperature)) for logit in logits]
