"""Logits to probabilities, for one text. Pure.

It does not know which labels they are of.
"""

import math
from collections.abc import Sequence

from serving.bundles.bundle import Manifest

_HOLDS_FROM = 0.5


def softmax(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Probabilities that sum to 1, from one text's finite logits (temperature: Guo et al. 2017)."""
    largest = max(logits)
    exponentials = [math.exp((logit - largest) / temperature) for logit in logits]
    total = sum(exponentials)
    return [exponential / total for exponential in exponentials]


def sigmoid(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Independent probabilities, from one text's finite logits."""
    return [0.5 * (1.0 + math.tanh(0.5 * logit / temperature)) for logit in logits]


def probabilities(manifest: Manifest, logits: Sequence[float]) -> list[float]:
    """One text's, in the order of the labels, from its finite logits."""
    function = sigmoid if manifest.problem_type == "multi_label" else softmax
    return function(logits, manifest.temperature)


def labels_that_hold(
    labels: Sequence[str], scores: Sequence[float], *, multi_label: bool
) -> list[str]:
    """The likeliest, or with multi_label all from 0.5 on."""
    if multi_label:
        return [label for label, score in zip(labels, scores, strict=True) if score >= _HOLDS_FROM]
    return [labels[scores.index(max(scores))]]
