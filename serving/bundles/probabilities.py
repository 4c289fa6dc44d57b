"""Convert the logits of one text to probabilities. Pure."""

import math
from collections.abc import Sequence

from serving.bundles.bundle import Manifest

_THRESHOLD = 0.5


def softmax(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Return probabilities that sum to 1, from finite logits (temperature: Guo et al. 2017)."""
    largest = max(logits)
    exponentials = []
    for logit in logits:
        exponentials.append(math.exp((logit - largest) / temperature))  # noqa: PERF401  no frame
    total = sum(exponentials)
    for index, exponential in enumerate(exponentials):
        exponentials[index] = exponential / total
    return exponentials


def sigmoid(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Return independent probabilities, from finite logits."""
    return [0.5 * (1.0 + math.tanh(0.5 * logit / temperature)) for logit in logits]


def probabilities(manifest: Manifest, logits: Sequence[float]) -> list[float]:
    """Return the probabilities of one text in label order, from its finite logits."""
    function = sigmoid if manifest.problem_type == "multi_label" else softmax
    return function(logits, manifest.temperature)


def predicted_labels(
    labels: Sequence[str], scores: Sequence[float], *, multi_label: bool
) -> list[str]:
    """Return the most probable label, or with multi_label every label from 0.5 up."""
    if multi_label:
        return [label for label, score in zip(labels, scores, strict=True) if score >= _THRESHOLD]
    return [labels[scores.index(max(scores))]]
